package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// ToolServer is an MCP server: a command or an address.
type ToolServer struct {
	Command    []string          `yaml:"command" help:"program and arguments of a server that speaks over its standard input and output; run without a shell"`
	Env        map[string]string `yaml:"env" help:"variables it gets; it gets no others than these and those of env_from"`
	EnvFrom    []string          `yaml:"env_from" help:"variables that it gets as the worker has them, secrets among them"`
	URL        string            `yaml:"url" help:"address of a server that speaks streamable HTTP"`
	TokenEnv   string            `yaml:"token_env" help:"environment variable that holds a token to send it, as Authorization: Bearer"`
	TokenFile  string            `yaml:"token_file" help:"file that holds it"`
	Timeout    time.Duration     `yaml:"timeout" default:"30s" min:"1ms" help:"of one call, waiting for its turn included"`
	MaxResult  Bytes             `yaml:"max_result" default:"64KiB" min:"256" max:"16777216" help:"what is kept of a result"`
	Concurrent int               `yaml:"concurrent" default:"8" min:"1" help:"calls of one worker at the same time"`
	PerMinute  int               `yaml:"calls_per_minute" min:"1" help:"calls of the whole fleet per minute; left out: no limit"`
	PerJob     int               `yaml:"calls_per_job" min:"1" help:"calls of each of its tools that one job may make; left out: no limit but the guardrails"`
}

// Agent is what conversations with tools may do.
type Agent struct {
	Tools      []string       `yaml:"tools" help:"what its jobs may use: SERVER.TOOL or SERVER.*, such as doc.search, which is over the job's own document; a batch can ask for less. Without any, a batch has only those over its documents that it asks for"`
	Calls      map[string]int `yaml:"calls" help:"how often one job may call a tool, by its name, such as files.read: 10"`
	Guardrails Bounds         `yaml:"guardrails" help:"bounds of one conversation of this chain, instead of the common ones"`
}

// Bounds are guardrails without defaults: what is left out is as elsewhere.
type Bounds struct {
	Iterations int           `yaml:"iterations" min:"1" help:"answers of models"`
	ToolCalls  int           `yaml:"tool_calls" min:"1" help:"runs of tools"`
	Duration   time.Duration `yaml:"duration" min:"1s" max:"24h" help:"worked on, from the first question on"`
	Tokens     int64         `yaml:"tokens" min:"1" help:"sent and answered by all calls together"`
	Pieces     int           `yaml:"pieces" min:"2" help:"parts that a document may be cut into"`
}

// ToolServerNames lists the tool servers.
func (c *Config) ToolServerNames() []string { return slices.Sorted(maps.Keys(c.ToolServers)) }

// Rails are the guardrails of a chain.
func (c *Config) Rails(chain string) jobs.Guardrails {
	return jobs.Guardrails(c.Chains[chain].Agent.Guardrails).Or(jobs.Guardrails(c.Guardrails))
}

// ToolEnviron is the whole environment of a tool server's command.
func (c *Config) ToolEnviron(name string) ([]string, error) {
	s := c.ToolServers[name]
	environ := []string{}
	for _, k := range slices.Sorted(maps.Keys(s.Env)) {
		environ = append(environ, k+"="+s.Env[k])
	}
	for _, k := range s.EnvFrom {
		v, ok := c.env[k]
		if !ok {
			return nil, fmt.Errorf("%s: the tool server %s is to get the environment variable %s, which is not set", c.name, name, k)
		}
		environ = append(environ, k+"="+v)
	}
	return environ, nil
}

// ToolToken reads what a tool server is sent along; empty if it wants nothing.
func (c *Config) ToolToken(name string) (jobs.Secret, error) {
	s := c.ToolServers[name]
	secret, err := c.secret(s.TokenEnv, s.TokenFile)
	if err != nil {
		return secret, fmt.Errorf("%s: no token for the tool server %s: %w", c.name, name, err)
	}
	return secret, nil
}

var (
	serverName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
	anyEnvName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

func (l *report) checkTools(c *Config) {
	for _, name := range c.ToolServerNames() {
		if path := join("tool_servers", name); l.sound(path) {
			l.checkToolServer(path, name, c.ToolServers[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Chains)) {
		if path := join("chains", name); l.sound(path) {
			l.checkAgent(path, c.Chains[name].Agent, c.ToolServerNames())
		}
	}
}

func (l *report) checkToolServer(path, name string, s ToolServer) {
	if !serverName.MatchString(name) || name == jobs.DocumentTools {
		l.wrong(path, "%q cannot be the name of a tool server: use 1 to 32 letters, digits, '-' or '_', but not doc, which is the document", clip(name))
	}
	switch {
	case len(s.Command) == 0 && s.URL == "":
		l.wrong(path, "%s needs a command or a url", path)
	case len(s.Command) > 0 && s.URL != "":
		l.wrong(path+".url", "%s has both a command and a url: use one of them", path)
	case len(s.Command) > 0 && (s.TokenEnv != "" || s.TokenFile != ""):
		l.wrong(path, "%s has a token, which a command cannot be sent: give it a variable with env_from", path)
	case s.URL != "" && len(s.Env)+len(s.EnvFrom) > 0:
		l.wrong(path, "%s has an environment, but only a command gets one", path)
	}
	if s.URL != "" {
		l.checkURL(path+".url", s.URL)
	}
	if s.TokenEnv != "" && s.TokenFile != "" {
		l.wrong(path+".token_file", "%s has both token_env and token_file: use one of them", path)
	}
	l.checkVariable(path+".token_env", s.TokenEnv)
	for i, k := range s.EnvFrom {
		if !anyEnvName.MatchString(k) {
			l.wrong(fmt.Sprintf("%s.env_from[%d]", path, i), "%s.env_from must be the names of environment variables", path)
		}
	}
	for k, v := range s.Env {
		if at := join(path+".env", k); !anyEnvName.MatchString(k) || strings.ContainsRune(v, 0) {
			l.wrong(at, "%s cannot be an environment variable", at)
		}
	}
}

func (l *report) checkAgent(path string, a Agent, servers []string) {
	if err := jobs.CheckTools(a.Tools, servers); err != nil {
		l.wrong(path+".tools", "%s.tools: %v", path, err)
	}
	for _, entry := range slices.Sorted(maps.Keys(a.Calls)) {
		_, refused := jobs.NarrowTools(a.Tools, []string{entry})
		switch at := join(path+".calls", entry); {
		case len(refused) > 0:
			l.wrong(at, "%s: %s.tools does not have it%s", at, path, DidYouMean(entry, a.Tools))
		case a.Calls[entry] < 1:
			l.wrong(at, "%s must be at least 1", at)
		}
	}
	if err := jobs.Guardrails(a.Guardrails).Validate(); err != nil {
		l.wrong(path+".guardrails", "%s.guardrails: %v", path, err)
	}
}
