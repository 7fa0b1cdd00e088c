package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
)

// Single asks for a configuration of one model, as the flags --base-url and
// --model make it.
type Single struct {
	Model   string // what the provider calls it
	BaseURL string // of a server compatible with OpenAI's; default: the provider's own address
	KeyEnv  string // environment variable with the key; default: OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY
}

// yaml writes the file that says the same, so that there is one way to make a
// configuration.
func (s Single) yaml(env map[string]string) ([]byte, error) {
	if s.Model == "" {
		return nil, errors.New("--base-url needs --model as well: which model of that server is to be asked?")
	}
	entry := map[string]any{"model": s.Model, "max_output": 4096, "timeout": "120s"}
	var err error
	if s.BaseURL != "" {
		err = s.server(entry, env)
	} else {
		err = s.provider(entry, env)
	}
	if err != nil {
		return nil, err
	}
	switch entry["provider"] {
	case "anthropic", "gemini", "openai-responses":
		entry["max_output"], entry["timeout"] = 16_000, "300s" // they think, within both
	}
	return yaml.Marshal(map[string]any{
		"models": map[string]any{s.name(): entry},
		"chains": map[string]any{"default": []string{s.name()}},
	})
}

// name is the model's name with what a name cannot hold left out.
func (s Single) name() string {
	name := strings.Map(func(r rune) rune {
		if validName.MatchString(string(r)) {
			return r
		}
		return '-'
	}, s.Model)
	return name[:min(len(name), 64)]
}

// server is any that speaks OpenAI's protocol. It is given OPENAI_API_KEY if
// that is set, unless the key would travel in the clear to another machine.
func (s Single) server(entry map[string]any, env map[string]string) error {
	u, err := url.Parse(s.BaseURL)
	if err != nil || u.Host == "" {
		return fmt.Errorf("--base-url: not an address such as http://127.0.0.1:11434/v1")
	}
	entry["provider"], entry["base_url"] = "openai", s.BaseURL
	_, set := env["OPENAI_API_KEY"]
	switch {
	case s.KeyEnv != "":
		entry["api_key_env"] = s.KeyEnv
	case set && (u.Scheme == "https" || loopback(u.Hostname())):
		entry["api_key_env"] = "OPENAI_API_KEY"
	}
	return nil
}

// reasoner finds OpenAI's models that reason.
var reasoner = regexp.MustCompile(`^gpt-([5-9]|[1-9][0-9])`)

// provider finds out whose model it is: by its name or by the key there is.
func (s Single) provider(entry map[string]any, env map[string]string) error {
	_, openai := env["OPENAI_API_KEY"]
	_, anthropic := env["ANTHROPIC_API_KEY"]
	switch {
	case strings.HasPrefix(s.Model, "claude"):
		entry["provider"] = "anthropic"
	case strings.HasPrefix(s.Model, "gemini"):
		entry["provider"] = "gemini"
	case strings.HasPrefix(s.Model, "text-embedding-"):
		entry["provider"] = "openai-embeddings"
	case reasoner.MatchString(s.Model):
		entry["provider"] = "openai-responses" // where alone they take tools
	case openai || !anthropic && s.KeyEnv != "":
		entry["provider"] = "openai"
	case anthropic:
		entry["provider"] = "anthropic"
	default:
		return fmt.Errorf("--model %s needs a key: set OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY, or name a server of your own with --base-url", s.Model)
	}
	if s.KeyEnv != "" {
		entry["api_key_env"] = s.KeyEnv
	}
	return nil
}
