package llm

import (
	"bytes"
	"cmp"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/drover-batch/drover/jobs"
)

// rejected makes the failure of a response with a status that is no success.
func (c *Client) rejected(resp *response, req *jobs.Request) *jobs.Failure {
	said := complaintOf(resp.body)
	kind, billing := said.judge(resp.status)
	misset := billing == jobs.Free && (kind == jobs.Refused || kind == jobs.InvalidRequest) && c.misset(said, req)
	if misset {
		kind = jobs.NoQuota
	}
	fail := &jobs.Failure{
		Kind: kind, Billing: billing,
		Message:    c.clean(c.model.Name + ": " + said.orStatus(resp.status)),
		Status:     resp.status,
		Code:       c.scrub(said.code),
		RetryAfter: cmp.Or(retryAfter(resp.status, resp.header), said.wait),
		Body:       c.excerpt(resp.body),
		Quota:      quota(resp.header),
		RequestID:  cmp.Or(requestID(resp.header), said.id),
	}
	if which := said.exhausted(); kind == jobs.RateLimited && which != "" {
		if fail.Quota == nil {
			fail.Quota = &jobs.Quota{RequestsLimit: -1, RequestsLeft: -1, TokensLimit: -1, TokensLeft: -1}
		}
		fail.Quota.Exhausted = which
	}
	if said.overstated(resp.status) {
		fail.Message = strings.TrimSuffix(fail.Message, ".") + "; lower its max_output"
	}
	if misset {
		fail.Message = strings.TrimSuffix(fail.Message, ".") + "; correct that in its configuration"
	}
	if resp.status/100 == 3 {
		fail.Message = c.model.Name + ": the provider redirects elsewhere, which is never followed; correct its base_url"
	}
	return fail
}

// misset reports whether the model refuses what its configuration sets, and so
// every request.
func (c *Client) misset(said complaint, req *jobs.Request) bool {
	m := &c.model
	return req.Body == nil && (m.Temperature != nil && said.says("temperature") ||
		m.Effort != "" && said.says("effort", "thinking level", "thinking budget", "thinking_budget", "thinking mode") && !said.says("function tools"))
}

// unusable completes a failure that decode found in a response of success.
// Whatever such a response says, it has been computed.
func (c *Client) unusable(fail *jobs.Failure, resp *response, req *jobs.Request) *jobs.Failure {
	fail.Status = resp.status
	fail.Message, fail.Code = c.clean(fail.Message), c.scrub(fail.Code)
	fail.Billing = jobs.Presumed
	if fail.Answer != nil {
		c.complete(fail.Answer, resp, req)
		if !fail.Answer.Estimated {
			fail.Billing = jobs.Billed
		}
	}
	fail.Body = c.excerpt(resp.body)
	fail.Quota, fail.RequestID = quota(resp.header), requestID(resp.header)
	return fail
}

// object checks that a response is a JSON object. One that is not was cut or
// made by something in between, so it says nothing about the request.
func object(model string, body []byte) (gjson.Result, *jobs.Failure) {
	root := gjson.ParseBytes(body)
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
		return root, jobs.Failf(jobs.Unreachable, "%s answered with a web page: correct its base_url, or see which proxy answers in its place", model)
	}
	if !valid(body) || !root.IsObject() {
		return root, jobs.Failf(jobs.Unreachable, "the answer of %s is not a whole JSON object", model)
	}
	return root, nil
}

// mostLevels is how deep a text may go into arrays and objects. encoding/json,
// which reads the records that a response is kept in, goes into 10,000.
const mostLevels = 1000

// valid reports whether a text is JSON of at most mostLevels. gjson has no such
// bound: it goes down by recursion, and a stack that is used up ends the whole
// process.
func valid(text []byte) bool { return levels(text) <= mostLevels && gjson.ValidBytes(text) }

// levels is how deep a text goes into arrays and objects, or more than that.
func levels(text []byte) int {
	if most := bytes.Count(text, []byte("[")) + bytes.Count(text, []byte("{")); most <= mostLevels {
		return most
	}
	depth, deepest, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case quoted:
		case c == '[', c == '{':
			depth++
			deepest = max(deepest, depth)
		case c == ']', c == '}':
			depth--
		}
	}
	return deepest
}

// reported makes the failure of an answer that lacks its content: some
// gateways report errors with status 200.
func reported(model string, root gjson.Result, otherwise string) *jobs.Failure {
	said := complaintIn(root)
	if said.message == "" {
		return jobs.Failf(jobs.ServerError, "%s %s", model, otherwise)
	}
	kind, _ := said.judge(said.status(root.Get("error.code").Int()))
	return &jobs.Failure{Kind: kind, Code: said.code, Message: model + ": " + said.message}
}

// refused makes the failure of an answer that was paid for and withheld.
func refused(a *jobs.Answer, model, why string) *jobs.Failure {
	a.Finish = jobs.FinishRefused
	return &jobs.Failure{Kind: jobs.Refused, Code: "refusal", Message: model + ": " + shorten(why, mostComplaint), Answer: a}
}

// excerpt is the provider's error body as JSON of at most a few KiB, without
// our key if the provider repeats it.
func (c *Client) excerpt(body []byte) []byte {
	const most = 4 << 10
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return nil
	}
	if len(body) <= most && valid(body) {
		if clean := []byte(c.scrub(string(body))); valid(clean) {
			return clean
		}
	}
	out := []byte(`{"error":{"message":`)
	out = appendString(out, shorten(c.scrub(string(body)), most))
	return append(out, "}}"...)
}

// scrub takes our key out of a text that a provider or a library made.
func (c *Client) scrub(text string) string {
	if c.model.Key.Empty() {
		return text
	}
	return strings.ReplaceAll(text, c.model.Key.Reveal(), c.model.Key.String())
}

// clean makes a message of a text that a provider made: of a key that was cut in
// two, one half would remain.
func (c *Client) clean(text string) string { return shorten(c.scrub(text), 500) }

// shorten cuts a text to at most n bytes, between characters.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

func within(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return " (" + d.String() + ")"
}
