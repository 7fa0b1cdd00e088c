package llm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// Client asks one model. It may be used from any goroutine.
type Client struct {
	model jobs.Model
	http  *http.Client
	wire  protocol
	base  url.URL
	words *counter // nil for the simulator, which counts by length
}

// protocol is what the wire protocols differ in.
type protocol interface {
	// authorize puts the key, and whatever else every request needs, into the
	// headers.
	authorize(h http.Header)

	// encode makes the path below the base URL and the body of a request that
	// is answered with at most limit tokens.
	encode(req *jobs.Request, limit int) (path string, body []byte, fail *jobs.Failure)

	// decode reads the body of a response of success to such a request.
	// A failure that was paid for carries the answer.
	decode(req *jobs.Request, body []byte) (*jobs.Answer, *jobs.Failure)
}

// defaultURL is where each protocol lives if the configuration does not say.
var defaultURL = map[string]string{
	"openai":            "https://api.openai.com/v1",
	"openai-responses":  "https://api.openai.com/v1",
	"openai-embeddings": "https://api.openai.com/v1",
	"anthropic":         "https://api.anthropic.com/v1",
	"gemini":            "https://generativelanguage.googleapis.com/v1beta",
}

// New returns a client for the model, which speaks the protocol its provider
// is named after: openai, openai-responses, openai-embeddings, anthropic,
// gemini, or simulator (which speaks openai). The clients of all models can share one http.Client, see Transport; it is copied
// so that redirects are never followed. Its transport has to report to httptrace,
// as *http.Transport does: that is how a request that never left is told from
// one that may have. An error names what to correct in the configuration.
func New(m jobs.Model, client *http.Client) (*Client, error) {
	base, err := baseURL(&m)
	if err != nil {
		return nil, fmt.Errorf("model %q: %w", m.Name, err)
	}
	if m.MaxOutput <= 0 {
		return nil, fmt.Errorf("model %q: max_output must be a positive number of tokens", m.Name)
	}
	if strings.ContainsAny(m.Key.Reveal(), "\r\n\x00") {
		return nil, fmt.Errorf("model %q: its API key contains a line break", m.Name)
	}
	if m.Upstream == "" {
		m.Upstream = m.Name
	}
	c := &Client{model: m, base: *base}
	if c.wire = c.protocol(); c.wire == nil {
		return nil, fmt.Errorf("model %q: provider %q: use openai, openai-responses, openai-embeddings, anthropic, gemini or simulator", m.Name, m.Provider)
	}
	if m.Provider != "simulator" {
		c.words = newCounter(m.Upstream)
	}
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http = &own
	return c, nil
}

// protocol is nil for a provider that nobody knows.
func (c *Client) protocol() protocol {
	host := c.base.Hostname()
	compatible := openAI{model: &c.model, strict: new(atomic.Bool), thinking: slices.Contains(thinkingHosts, host), azure: strings.HasSuffix(host, azureAny), mistral: host == mistralHost}
	compatible.strict.Store(c.model.Provider != "simulator" && strictOpenAI(host, c.model.Upstream))
	switch c.model.Provider {
	case "openai", "simulator":
		return &compatible
	case "openai-responses":
		return &responses{compatible}
	case "openai-embeddings":
		return &embeddings{compatible}
	case "anthropic":
		return &anthropic{model: &c.model, home: host == "api.anthropic.com"}
	case "gemini":
		return &gemini{model: &c.model}
	}
	return nil
}

// baseURL checks the model's base URL. One without a path gets the one where
// the protocol usually lives: /v1, /openai/v1 for Azure, or /v1beta for Gemini's.
// Anthropic's and Google's own libraries add the version to any path, so that
// the addresses to copy lack it. Those of an endpoint are cut to their base.
func baseURL(m *jobs.Model) (*url.URL, error) {
	text := m.BaseURL
	if text == "" {
		text = defaultURL[m.Provider]
	}
	u, err := url.Parse(text)
	if err != nil { // which would repeat the URL, and it may hold a password
		return nil, errors.New("base_url is not a URL")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, errors.New("base_url must look like https://host/v1")
	case u.User != nil:
		return nil, errors.New("base_url must not contain a user or password; name a key with api_key_env or api_key_file")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	for _, endpoint := range []string{"/chat/completions", "/responses", "/embeddings", "/messages"} {
		u.Path = strings.TrimSuffix(u.Path, endpoint)
	}
	versioned := version.MatchString(u.Path)
	switch {
	case m.Provider == "gemini" && !versioned:
		u.Path += "/v1beta"
	case m.Provider == "anthropic" && !versioned:
		u.Path += "/v1"
	case u.Path == "" && strings.HasSuffix(u.Hostname(), azureAny):
		u.Path = "/openai/v1"
	case u.Path == "":
		u.Path = "/v1"
	}
	u.Fragment = ""
	return u, nil
}

// version is a path's last part, as in /v1 and /v1beta.
var version = regexp.MustCompile(`/v[0-9]+[a-z]*[0-9]*$`)

// Ask sends the request and blocks for its answer, for the model's timeout at
// most. The answer has at most maxOutput tokens, or fewer if the model or the
// request say so; 0 leaves it to them. Nothing is retried.
//
// An error is always a *jobs.Failure, and its Billing tells whether the
// attempt may have cost money.
func (c *Client) Ask(ctx context.Context, req *jobs.Request, maxOutput int) (*jobs.Answer, error) {
	if !c.model.Vision && hasImages(req) {
		return nil, blind(&c.model)
	}
	req = c.told(req)
	if end, ok := ctx.Deadline(); c.model.Timeout > 0 && (!ok || time.Until(end) > c.model.Timeout) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.model.Timeout)
		defer cancel()
	}
	resp, fail := c.send(ctx, req, c.limit(req, maxOutput))
	if fail != nil {
		return nil, fail
	}
	if !succeeded(resp.status) {
		return nil, c.rejected(resp, req)
	}
	answer, fail := c.wire.decode(req, resp.body)
	if fail != nil {
		return nil, c.unusable(fail, resp, req)
	}
	c.complete(answer, resp, req)
	return answer, nil
}

// send makes one exchange, and another where the first was refused, for free, for
// what the token limit is called.
func (c *Client) send(ctx context.Context, req *jobs.Request, limit int) (*response, *jobs.Failure) {
	path, body, fail := c.wire.encode(req, limit)
	if fail != nil {
		return nil, fail
	}
	resp, fail := c.post(ctx, path, body, c.room(req, limit))
	if w, ok := c.wire.(interface {
		renames(*jobs.Request, *response) bool
	}); fail == nil && ok && w.renames(req, resp) {
		return c.send(ctx, req, limit)
	}
	return resp, fail
}

func blind(m *jobs.Model) *jobs.Failure {
	return jobs.Failf(jobs.Refused, "%s does not see images; if it does, set vision: true for it", m.Name)
}

func hasImages(req *jobs.Request) bool {
	return slices.ContainsFunc(req.Messages, func(m jobs.Message) bool { return len(m.Images) > 0 })
}

// limit is the lowest of all limits on the answer that were set.
func (c *Client) limit(req *jobs.Request, maxOutput int) int {
	limit := c.model.MaxOutput
	for _, l := range []int{req.MaxOutput, maxOutput} {
		if l > 0 {
			limit = min(limit, l)
		}
	}
	return limit
}

// complete adds to an answer what all protocols have in common.
func (c *Client) complete(a *jobs.Answer, resp *response, req *jobs.Request) {
	a.Status = resp.status
	a.RequestID = cmp.Or(requestID(resp.header), a.RequestID)
	a.Quota = quota(resp.header)
	if a.Body == nil {
		a.Body = resp.body
	}
	c.estimate(a, resp, req)
}

// estimate fills in what the provider did not say of its usage, or cannot mean.
func (c *Client) estimate(a *jobs.Answer, resp *response, req *jobs.Request) {
	_, vectors := c.wire.(*embeddings)
	silent := a.Usage.Total() == 0
	if silent || a.Usage.Output == 0 && !vectors && (a.Text != "" || len(a.Calls) > 0) {
		// No token is shorter than a byte.
		a.Usage.Output, a.Estimated = min(int64(len(resp.body)), int64(c.limit(req, 0))), true
	}
	if a.Usage.Input == 0 {
		a.Usage.Input, a.Estimated = c.Tokens(req), true
	}
}
