package llm

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/drover-batch/drover/jobs"
)

// ready returns a ready body with the configured model's name and a token
// limit of at most limit, and every other byte as it was.
func (o *openAI) ready(req *jobs.Request, limit int) ([]byte, *jobs.Failure) {
	switch req.Endpoint {
	case chatEndpoint, embeddingsEndpoint, responsesEndpoint:
	default:
		return nil, jobs.Failf(jobs.InvalidRequest, "the request is for %q; use %s, %s or %s",
			req.Endpoint, chatEndpoint, embeddingsEndpoint, responsesEndpoint)
	}
	m, fail := members(req.Body)
	if fail != nil {
		return nil, fail
	}
	if fail := m.foreign(); fail != nil {
		return nil, fail
	}
	if n := count(m["n"]); req.Endpoint == chatEndpoint && n > int64(limit) {
		return nil, jobs.Failf(jobs.Refused, "the request asks for %d answers, and %s may give %d tokens for all of them", n, o.model.Name, limit)
	}
	if tool := m.hosted(); tool != "" {
		return nil, jobs.Failf(jobs.InvalidRequest, "the request wants the provider to run %s, which costs more than its own tokens: use tools of type function", tool)
	}
	if named(req.Body) {
		return nil, jobs.Failf(jobs.InvalidRequest, "the request names a file or an item that lies elsewhere, and nobody can count before the call: send its content")
	}
	var edit edit
	edit.set(m, "model", string(appendString(nil, o.model.Upstream)))
	if m["stream"].Exists() {
		edit.set(m, "stream", "false")
	}
	if m["stream_options"].Exists() {
		edit.set(m, "stream_options", "null") // refused without stream
	}
	o.lower(&edit, m, req.Endpoint, limit)
	return edit.apply(req.Body), nil
}

// lower keeps the body's own token limit if it is low enough. All answers of
// a request that asks for n share one limit: it is what was reserved for.
func (o *openAI) lower(e *edit, m fields, endpoint string, limit int) {
	var names []string
	switch endpoint {
	case embeddingsEndpoint:
		return
	case responsesEndpoint:
		names = []string{"max_output_tokens"}
	default:
		names = []string{"max_completion_tokens", "max_tokens"}
		limit /= int(max(1, count(m["n"])))
	}
	found := false
	for _, name := range names {
		v := m[name]
		if !v.Exists() {
			continue
		}
		found = true
		// Zero and below mean "no limit" to some servers.
		if n := count(v); v.Type != gjson.Number || n == 0 || n > int64(limit) || v.Num != float64(n) {
			e.set(m, name, strconv.Itoa(limit))
		}
	}
	if found {
		return
	}
	name := "max_output_tokens"
	if endpoint == chatEndpoint {
		name = o.limitName()
	}
	e.set(m, name, strconv.Itoa(limit))
}

// fields are the members of a ready body that we read or replace.
type fields map[string]gjson.Result

// controlled are their names. The first group is ours to set or to look at; the
// second would name models, or make input or output that nobody can count before
// the call, so no budget could hold.
var controlled = []string{
	"model", "n", "max_tokens", "max_completion_tokens", "max_output_tokens", "stream", "stream_options", "service_tier", "tools",
	"prompt_cache_options",
	"models", "n_predict", "best_of", "background", "previous_response_id", "conversation", "prompt", "web_search_options", "plugins",
}

// hosted is the first tool that the provider would run itself, "" if there is
// none: what it finds is input that nobody can count before.
func (m fields) hosted() (tool string) {
	for _, t := range m["tools"].Array() {
		t.ForEach(func(key, kind gjson.Result) bool { // all of them, as for members
			if key.Str == "type" && kind.Str != "function" && kind.Str != "custom" {
				tool = kind.String()
			}
			return tool == ""
		})
	}
	return tool
}

// named reports whether a message has a part that only names its content: a file
// by its address or id, or an item that the provider has stored.
func named(body []byte) bool {
	if !bytes.Contains(body, []byte("file")) && !bytes.Contains(body, []byte("item_reference")) && !bytes.Contains(body, []byte(`\u`)) {
		return false
	}
	found := false
	root := gjson.ParseBytes(body)
	for _, list := range []string{"messages", "input"} {
		for _, m := range root.Get(list).Array() {
			found = found || m.Get("type").Str == "item_reference"
			for _, part := range m.Get("content").Array() {
				found = found || part.Get("type").Str == "input_file" && (part.Get("file_id").Exists() || part.Get("file_url").Exists()) ||
					part.Get("file.file_id").Exists()
			}
		}
	}
	return found
}

// foreign refuses what a job may not say.
func (m fields) foreign() *jobs.Failure {
	for _, name := range controlled[slices.Index(controlled, "models"):] {
		if v := m[name]; v.Exists() && v.Type != gjson.Null && v.Type != gjson.False {
			return jobs.Failf(jobs.InvalidRequest, "the request sets %q, which a batch job must not: "+
				"models and limits come from the configuration, and each job stands alone", name)
		}
	}
	if n := m["n"]; n.Exists() && n.Type != gjson.Null && n.Num != float64(count(n)) {
		return jobs.Failf(jobs.InvalidRequest, "the request's n must be a positive whole number")
	}
	if tier := m["service_tier"]; tier.Exists() && tier.Type != gjson.Null && !slices.Contains(usualTiers, tier.Str) {
		return jobs.Failf(jobs.InvalidRequest, "the request asks for the service tier %q, which may cost more than the price that budgets hold for", tier.String())
	}
	if ttl := m["prompt_cache_options"].Get("ttl"); ttl.Exists() && ttl.Str != "30m" {
		return jobs.Failf(jobs.InvalidRequest, "the request asks for a cache that is kept for longer, which costs more than the price that budgets hold for")
	}
	return nil
}

// usualTiers cost what a model's price says, or less.
var usualTiers = []string{"auto", "default", "flex", "standard", "on_demand"}

// members finds the controlled fields of a body. A name that appears twice, or
// in another case, is refused: servers differ in which one they believe.
func members(body []byte) (fields, *jobs.Failure) {
	if !valid(body) || !gjson.ParseBytes(body).IsObject() {
		return nil, jobs.Failf(jobs.InvalidRequest, "the request's body is not a JSON object")
	}
	m := make(fields, 4)
	var fail *jobs.Failure
	gjson.ParseBytes(body).ForEach(func(key, value gjson.Result) bool {
		for _, name := range controlled {
			if !strings.EqualFold(key.Str, name) {
				continue
			}
			if m[name].Exists() || key.Str != name {
				fail = jobs.Failf(jobs.InvalidRequest, "the request has %q twice or in another case", name)
				return false
			}
			m[name] = value
		}
		return true
	})
	return m, fail
}

// edit replaces values of a body in place and adds members in front.
type edit struct {
	added   string
	changes []change
}

type change struct {
	from, to int
	value    string
}

func (e *edit) set(m fields, name, value string) {
	if v := m[name]; v.Exists() {
		e.changes = append(e.changes, change{v.Index, v.Index + len(v.Raw), value})
		return
	}
	e.added += `"` + name + `":` + value + `,`
}

func (e *edit) apply(body []byte) []byte {
	slices.SortFunc(e.changes, func(a, b change) int { return a.from - b.from })
	open := bytes.IndexByte(body, '{') + 1
	added := e.added
	if bytes.IndexByte(bytes.TrimLeft(body[open:], " \t\r\n"), '}') == 0 {
		added = strings.TrimSuffix(added, ",")
	}
	out := make([]byte, 0, len(body)+len(added)+64)
	out = append(append(out, body[:open]...), added...)
	at := open
	for _, c := range e.changes {
		out = append(append(out, body[at:c.from]...), c.value...)
		at = c.to
	}
	return append(out, body[at:]...)
}
