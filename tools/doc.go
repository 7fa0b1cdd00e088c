// Package tools is what models may use besides answering: tools over a job's
// own document, and those of MCP servers that the configuration names.
//
// A [Box] holds the servers of a process and starts each when it is first
// needed. A [Kit] is what the jobs of a batch may use of it, by an allow-list.
// A kit runs what a model calls and always has a reply for each call: a tool
// that fails, takes too long, is used up or is not allowed is answered for
// with an error, which the model reads like any result.
//
// What documents, models and tools say is data. It never names a command, an
// address or a file of ours; results are cleaned of control characters and
// cut to a size.
package tools
