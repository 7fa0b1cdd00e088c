package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/drover-batch/drover/jobs"
)

// keySource is where a model's key is, and where the file says so.
type keySource struct {
	env, file string
	at        place
}

// ReadKeys reads the keys of all models in the named chains, or in any chain
// if none is named. The error has a line for every key that is missing.
func (c *Config) ReadKeys(chains ...string) error {
	if len(chains) == 0 {
		chains = slices.Collect(maps.Keys(c.Chains))
	}
	wanted := map[string]bool{}
	for _, chain := range chains {
		for _, model := range c.Chains[chain].Models {
			wanted[model] = true
		}
	}
	return c.ReadModelKeys(slices.Sorted(maps.Keys(wanted))...)
}

// ReadModelKeys is ReadKeys for the models themselves.
func (c *Config) ReadModelKeys(models ...string) error {
	var errs []error
	for _, name := range models {
		key, err := c.key(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		m := c.Models[name]
		m.Key = key
		c.Models[name] = m
	}
	return errors.Join(errs...)
}

func (c *Config) key(model string) (jobs.Secret, error) {
	from := c.keys[model]
	secret, err := c.secret(from.env, from.file)
	if err != nil {
		return secret, fmt.Errorf("%s: no key for the model %s: %w", from.at, model, err)
	}
	return secret, nil
}

// secret reads the variable or the file. Neither being named is no error: a
// server of one's own may want no key.
func (c *Config) secret(env, file string) (jobs.Secret, error) {
	switch {
	case file != "":
		data, err := os.ReadFile(file)
		if err != nil {
			return jobs.Secret{}, err
		}
		text := strings.TrimSpace(string(data))
		if text == "" {
			return jobs.Secret{}, fmt.Errorf("the file %s is empty", file)
		}
		return jobs.NewSecret(text), nil
	case env != "":
		text := strings.TrimSpace(c.env[env])
		if text == "" {
			return jobs.Secret{}, fmt.Errorf("the environment variable %s is not set", env)
		}
		return jobs.NewSecret(text), nil
	}
	return jobs.Secret{}, nil
}

// WebhookSecret reads what the webhook of alerts is sent along; empty if it
// wants nothing.
func (c *Config) WebhookSecret() (jobs.Secret, error) {
	secret, err := c.secret(c.Alerts.SecretEnv, c.Alerts.SecretFile)
	if err != nil {
		return secret, fmt.Errorf("no secret for alerts.webhook: %w", err)
	}
	return secret, nil
}

// NATSPassword reads the password of NATS; empty if none is set.
func (c *Config) NATSPassword() (jobs.Secret, error) {
	return c.password("NATS", c.NATS.PasswordEnv, c.NATS.PasswordFile)
}

// RedisPassword reads the password of Redis; empty if none is set.
func (c *Config) RedisPassword() (jobs.Secret, error) {
	return c.password("REDIS", c.Redis.PasswordEnv, c.Redis.PasswordFile)
}

// SentinelPassword reads the password of the Sentinels; empty if none is set.
func (c *Config) SentinelPassword() (jobs.Secret, error) {
	return c.password("REDIS_SENTINEL", c.Redis.SentinelPasswordEnv, c.Redis.SentinelPasswordFile)
}

// password reads a server's. The usual variable may be unset, one that
// somebody named may not.
func (c *Config) password(server, env, file string) (jobs.Secret, error) {
	usual := env == server+"_PASSWORD"
	if _, set := c.env[env]; file == "" && usual && !set {
		return jobs.Secret{}, nil
	}
	secret, err := c.secret(env, file)
	if err != nil {
		return secret, fmt.Errorf("%s: no password for %s: %w", c.name, strings.ToLower(strings.ReplaceAll(server, "_", " ")), err)
	}
	return secret, nil
}

// NATSTLS reads the certificates for NATS. Without any, it returns nil.
func (c *Config) NATSTLS() (*tls.Config, error) { return c.tls("nats.tls", c.NATS.TLS) }

// RedisTLS reads the certificates for Redis. Without any, it returns nil.
func (c *Config) RedisTLS() (*tls.Config, error) { return c.tls("redis.tls", c.Redis.TLS) }

func (c *Config) tls(path string, t TLS) (*tls.Config, error) {
	if t == (TLS{}) {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("%s: %s.ca_file: %w", c.name, path, err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: %s.ca_file: %s holds no certificate in PEM", c.name, path, t.CAFile)
		}
	}
	if t.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("%s: %s.cert_file and key_file: %w", c.name, path, err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	return cfg, nil
}

// Chain returns the models of a chain in order; the empty name means default,
// or the only chain there is.
func (c *Config) Chain(name string) ([]jobs.Model, error) {
	names := slices.Sorted(maps.Keys(c.Chains))
	if name == "" {
		name = "default"
		if len(names) == 1 {
			name = names[0]
		}
	}
	chain, ok := c.Chains[name]
	if !ok {
		return nil, fmt.Errorf("no chain %q in %s, only %s%s", clip(name), c.name, strings.Join(names, ", "), DidYouMean(name, names))
	}
	models := make([]jobs.Model, len(chain.Models))
	for i, step := range chain.Models {
		models[i] = c.Models[step]
	}
	return models, nil
}
