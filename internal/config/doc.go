// Package config reads how Drover is to run into one struct. Each source
// overrides the one before it:
//
//  1. the defaults, stated at the fields of Config and what it holds
//  2. the YAML file that --config or DROVER_CONFIG names
//  3. the environment
//  4. flags
//
// Without a file there is a small configuration built in that asks the
// simulator, and Single makes one for a single model.
//
// # Environment
//
// Every setting that is a single value outside of the lists and the tables of
// models, quotas, chains, budgets and tool servers has a variable: its path in
// the file, in capitals, joined by underscores, after DROVER_. So
// DROVER_WORKER_SLOTS is worker.slots and DROVER_RETRY_BASE is retry.base.
// NATS_URL and REDIS_URL are short for DROVER_NATS_URL and DROVER_REDIS_URL. An
// empty variable counts as not set. A variable that looks like a misspelt one of
// these is an error; others are left alone.
//
// # Secrets
//
// No secret is ever written in the file, where it would end up in a
// repository: the file names an environment variable (api_key_env) or another
// file (api_key_file). They are read only when asked for, by ReadKeys,
// NATSPassword and RedisPassword, so that a process that calls no model needs
// no key.
//
// # Errors
//
// Load reports everything that is wrong at once, a line each, and says where:
//
//	drover.yaml:3:5: unknown key "provder": did you mean "provider"?
//	DROVER_WORKER_SLOTS: worker.slots must be at least 1, not 0
package config
