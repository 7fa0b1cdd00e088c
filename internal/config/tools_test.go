package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
)

const withTools = `models: {m: {provider: simulator}}
tool_servers:
  files: {command: [mcp-files, /srv], env: {LANG: C.UTF-8}, env_from: [HOME], calls_per_minute: 600}
  web: {url: "https://tools.example.com/mcp", token_env: WEB_TOKEN}
chains:
  default: {models: [m], tools: [doc.*, files.read], calls: {files.read: 10}, guardrails: {iterations: 5}}
`

func TestToolsAreRead(t *testing.T) {
	t.Parallel()
	c := load(t, config.Source{Path: write(t, withTools), Environ: []string{"HOME=/home/me", "OPENAI_API_KEY=sk-x", "WEB_TOKEN=sesame"}})
	if diff := cmp.Diff(config.Agent{
		Tools: []string{"doc.*", "files.read"}, Calls: map[string]int{"files.read": 10}, Guardrails: config.Bounds{Iterations: 5},
	}, c.Chains["default"].Agent); diff != "" {
		t.Errorf("chains.default (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(jobs.Guardrails{Iterations: 5, ToolCalls: 50, Duration: 300 * time.Second, Tokens: 100_000, Pieces: 50}, c.Rails("default")); diff != "" {
		t.Errorf("guardrails (-want +got):\n%s", diff)
	}
	environ, err := c.ToolEnviron("files")
	if diff := cmp.Diff([]string{"LANG=C.UTF-8", "HOME=/home/me"}, environ); err != nil || diff != "" {
		t.Errorf("environment: %v (-want +got):\n%s", err, diff)
	}
	token, err := c.ToolToken("web")
	if err != nil || token.Reveal() != "sesame" {
		t.Errorf("token: %v", err)
	}
}

func TestMissingVariablesOfToolServersAreNamed(t *testing.T) {
	t.Parallel()
	c := load(t, config.Source{Path: write(t, withTools), Environ: []string{}})
	for want, err := range map[string]error{
		"the tool server files is to get the environment variable HOME, which is not set": second(c.ToolEnviron("files")),
		"no token for the tool server web: the environment variable WEB_TOKEN is not set": second(c.ToolToken("web")),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func second[T any](_ T, err error) error { return err }
