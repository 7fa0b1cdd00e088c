package config

import (
	"cmp"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// home is a provider's own address, and the variable that usually holds its
// key.
var home = map[string]struct{ url, key string }{
	"openai":            {"https://api.openai.com/v1", "OPENAI_API_KEY"},
	"openai-responses":  {"https://api.openai.com/v1", "OPENAI_API_KEY"},
	"openai-embeddings": {"https://api.openai.com/v1", "OPENAI_API_KEY"},
	"anthropic":         {"https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"},
	"gemini":            {"https://generativelanguage.googleapis.com/v1beta", "GEMINI_API_KEY"},
}

// resolve turns the file's models into those of the domain.
func (l *report) resolve(doc *document, prices func(string) (jobs.Price, bool)) {
	c := &doc.Config
	c.Models, c.ListedAs = make(map[string]jobs.Model, len(doc.Models)), make(map[string]string)
	c.keys = make(map[string]keySource, len(doc.Models))
	for _, name := range slices.Sorted(maps.Keys(doc.Models)) {
		path, m := join("models", name), doc.Models[name]
		own := home[m.Provider]
		at := strings.TrimRight(cmp.Or(m.BaseURL, own.url), "/")
		atHome := sameServer(at, own.url)
		if l.sound(path) {
			l.checkModel(path, m, c.Quotas)
		}
		from := keySource{env: m.APIKeyEnv, file: m.APIKeyFile, at: l.place(path + ".api_key_env")}
		if atHome && m.APIKeyEnv == "" && m.APIKeyFile == "" {
			from.env = own.key // which nobody else is given
		}
		c.keys[name] = from
		resolved := jobs.Model{
			Name: name, Provider: m.Provider, Upstream: cmp.Or(m.Model, name), BaseURL: at,
			Context: m.Context, MaxOutput: m.MaxOutput, Timeout: m.Timeout,
			Quota: cmp.Or(m.Quota, name), Temperature: m.Temperature, Effort: m.Effort,
			Vision: m.can(m.Vision), Structured: m.can(m.Structured),
		}
		if m.Provider == "openai-embeddings" {
			resolved.MaxOutput = 1 // a vector is no tokens, so no room is kept for them
		}
		resolved.Price = m.Price.resolve()
		if resolved.Price == nil {
			resolved.Price = l.lookUp(path, m.PricedAs, atHome, resolved.Upstream, prices)
			if resolved.Price != nil {
				c.ListedAs[name] = cmp.Or(m.PricedAs, resolved.Upstream)
				l.fitPrice(path, &resolved)
			}
		}
		c.Models[name] = resolved
	}
	l.resolveChains(doc)
}

// can is whether the model has an ability: as set, or else as the simulator,
// which has them all.
func (m *model) can(set *bool) bool {
	if set != nil {
		return *set
	}
	return m.Provider == "simulator"
}

// lookUp finds a price in the lists: of a model that says under which name it
// is there, or of one at its provider's own address.
func (l *report) lookUp(path, as string, atHome bool, upstream string, prices func(string) (jobs.Price, bool)) *jobs.Price {
	if prices == nil || as == "" && !atHome {
		return nil
	}
	p, ok := prices(cmp.Or(as, upstream))
	if !ok {
		if as != "" {
			l.wrong(path+".priced_as", "%s.priced_as names %q, which is in no list of prices: see enqueue prices list", path, clip(as))
		}
		return nil
	}
	return &p
}

// fitPrice gives a model the context that its listed price holds for, unless it
// has a smaller one: many providers charge more for long inputs.
func (l *report) fitPrice(path string, m *jobs.Model) {
	if m.Price.UpTo == 0 {
		return
	}
	if _, said := l.places[path+".context"]; said {
		if m.Context > m.Price.UpTo {
			l.wrong(path+".context", "%s.context (%d) is more than its listed price holds for, which is %d tokens: lower it, or say with price: what longer calls cost", path, m.Context, m.Price.UpTo)
		}
		return
	}
	if m.Context = m.Price.UpTo; m.Context <= m.MaxOutput {
		l.wrong(path, "%s: the list of prices gives it a context of %d tokens, which max_output (%d) leaves no room in: lower max_output", path, m.Context, m.MaxOutput)
	}
}

// sameServer reports whether both addresses are one server's, over TLS.
func sameServer(a, b string) bool {
	u, errA := url.Parse(a)
	v, errB := url.Parse(b)
	return errA == nil && errB == nil && u.Scheme == "https" && v.Scheme == "https" && u.Host == v.Host
}

func (p *price) resolve() *jobs.Price {
	if p == nil || p.Input == nil || p.Output == nil {
		return nil
	}
	return &jobs.Price{Input: *p.Input, CachedInput: *cmp.Or(p.CachedInput, p.Input), CacheWrite: p.CacheWrite, Output: *p.Output, AsOf: p.AsOf}
}

// resolveChains gives a file with one model and no chain the obvious one.
func (l *report) resolveChains(doc *document) {
	if len(doc.Chains) > 0 || len(doc.Models) != 1 {
		return
	}
	doc.Chains = map[string]Chain{"default": {Models: slices.Collect(maps.Keys(doc.Models)), WhenLimited: jobs.AutoWhenLimited}}
}

// variableName is what an environment variable may be called. Only capitals
// are allowed, so that a key put here by mistake is not taken for a name and
// printed.
var variableName = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*$`)

func (l *report) checkModel(path string, m model, quotas map[string]Quota) {
	if m.Provider == "" {
		l.wrong(path, "%s.provider is missing: use openai, openai-responses, openai-embeddings, anthropic, gemini or simulator", path)
	}
	if m.Context <= m.MaxOutput && m.Provider != "openai-embeddings" {
		l.wrong(path+".context", "%s.context (%d) leaves no room for a question: it must exceed max_output (%d)", path, m.Context, m.MaxOutput)
	}
	if m.BaseURL != "" {
		l.checkURL(path+".base_url", m.BaseURL, "api-version") // which Azure wants
	}
	if _, known := quotas[m.Quota]; m.Quota != "" && !known {
		l.wrong(path+".quota", "no quota %q under quotas%s", m.Quota, DidYouMean(m.Quota, slices.Collect(maps.Keys(quotas))))
	}
	l.checkVariable(path+".api_key_env", m.APIKeyEnv)
	if m.APIKeyEnv != "" && m.APIKeyFile != "" {
		l.wrong(path+".api_key_file", "%s has both api_key_env and api_key_file: use one of them", path)
	}
	if m.Price != nil {
		l.checkPrice(path+".price", *m.Price)
	}
}

// checkURL accepts an address with no parameters but the named ones.
func (l *report) checkURL(path, text string, parameters ...string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		l.wrong(path, "%s must be an address such as https://api.openai.com/v1", path)
	case u.User != nil || u.Fragment != "" || !allowed(u, parameters):
		l.wrong(path, "%s must be an address alone, without a user, a password or parameters", path)
	}
}

func allowed(u *url.URL, parameters []string) bool {
	for name := range u.Query() {
		if !slices.Contains(parameters, name) {
			return false
		}
	}
	return u.RawQuery == "" || len(u.Query()) > 0
}

func (l *report) checkVariable(path, name string) {
	if name != "" && !variableName.MatchString(name) {
		l.wrong(path, "%s must be the name of an environment variable, in capitals such as OPENAI_API_KEY; the secret itself does not belong here", path)
	}
}

func (l *report) checkPrice(path string, p price) {
	if p.Input == nil || p.Output == nil {
		l.wrong(path, "%s needs both input and output, in dollars per million tokens; write 0 for what is free", path)
	}
	if _, err := time.Parse(time.DateOnly, p.AsOf); p.AsOf != "" && err != nil {
		l.wrong(path+".as_of", "%s.as_of must be a day such as 2026-01-31", path)
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
