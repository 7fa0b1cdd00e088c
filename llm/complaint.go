package llm

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/drover-batch/drover/jobs"
)

// complaint is what an error body says, in whichever provider's words.
type complaint struct {
	code    string // "context_length_exceeded", "overloaded_error"
	class   string // a wider word for the same, "invalid_request_error"
	reason  string // a narrower one, "API_KEY_INVALID"
	message string
	wait    time.Duration // until it may be asked again
	id      string        // of the request
	quotas  string        // that were exceeded, by Google's names
}

// mostComplaint bounds what is looked at of a message. What is told of it is
// shortened further, but not before our key is out of it; see Client.clean.
const mostComplaint = 16 << 10

func complaintOf(body []byte) complaint {
	if !valid(body) {
		return complaint{}
	}
	return complaintIn(gjson.ParseBytes(body))
}

func complaintIn(root gjson.Result) complaint {
	if root.IsArray() { // Gemini's compatible endpoint
		root = root.Get("0")
	}
	e := root.Get("error")
	switch {
	case e.IsObject():
	case e.Type == gjson.String: // text-generation-inference, older Ollama, xAI
		return complaint{class: root.Get("error_type").String(), message: shorten(e.Str, mostComplaint)}
	default: // older vLLM, Mistral
		e = root
	}
	c := complaint{code: e.Get("code").String(), class: e.Get("type").String()}
	if e.Get("code").Type != gjson.String {
		c.code = e.Get("status").String() // Gemini: RESOURCE_EXHAUSTED
	}
	c.details(e.Get("details"))
	if at := e.Get("metadata.headers.X-RateLimit-Reset").Float(); at > 0 { // OpenRouter's
		c.wait = untilSeconds(at, nil)
	}
	if id := root.Get("request_id"); id.Type == gjson.String { // Anthropic
		c.id = shorten(id.Str, 128)
	}
	for _, at := range []string{"message", "detail"} {
		if m := e.Get(at); m.Exists() && c.message == "" {
			c.message = shorten(m.String(), mostComplaint)
		}
	}
	c.behind(e.Get("metadata.raw"))
	if c.code == "" {
		c.code = c.class
	}
	return c
}

// behind adds what the provider behind a router said, such as OpenRouter, whose
// own words are "Provider returned error".
func (c *complaint) behind(raw gjson.Result) {
	if raw.Str == "" {
		return
	}
	said := complaint{message: shorten(raw.Str, mostComplaint)}
	if valid([]byte(raw.Str)) {
		said = complaintIn(gjson.Parse(raw.Str))
	}
	if said.message != "" {
		c.message = shorten(c.message+": "+said.message, mostComplaint)
	}
	if c.code == "" {
		c.code, c.class = said.code, said.class
	}
}

// details reads Google's lists of them.
func (c *complaint) details(list gjson.Result) {
	if !list.IsArray() {
		return
	}
	list.ForEach(func(_, detail gjson.Result) bool {
		if reason := detail.Get("reason"); reason.Type == gjson.String {
			c.reason = reason.Str
		}
		for _, violation := range detail.Get("violations.#.quotaId").Array() {
			c.quotas += shorten(violation.String(), 100) + " "
		}
		if d, err := time.ParseDuration(detail.Get("retryDelay").String()); err == nil {
			c.wait = wait(d.Seconds())
		}
		return true
	})
}

func (c complaint) orStatus(status int) string {
	if c.message != "" {
		return c.message
	}
	if text := http.StatusText(status); text != "" {
		return text
	}
	return "an answer without an explanation"
}

// says reports whether the message has one of the phrases.
func (c complaint) says(phrases ...string) bool {
	text := strings.ToLower(c.message + " " + c.quotas)
	return slices.ContainsFunc(phrases, func(p string) bool { return strings.Contains(text, p) })
}

func (c complaint) is(codes ...string) bool {
	return slices.Contains(codes, c.code) || slices.Contains(codes, c.class) || slices.Contains(codes, c.reason)
}

// exhausted is the limit that the message says was reached, "" if it names
// none or both: OpenAI's "on tokens per min (TPM)", Anthropic's "input tokens
// per minute", Gemini's "GenerateRequestsPerMinutePerProject".
func (c complaint) exhausted() jobs.Limit {
	requests := c.is("requests") || c.says("requests per", "requestsper", "requests_per", "(rpm)", "(rpd)", "call rate limit")
	tokens := c.is("tokens") || c.says("tokens per", "tokensper", "tokens_per", "(tpm)", "(tpd)", "token rate limit")
	switch {
	case requests == tokens:
		return ""
	case requests:
		return jobs.Requests
	}
	return jobs.Tokens
}

// judge decides the kind of a rejection and whether it may have cost money.
//
// Rejections are free, and so are 503 and 529, which say that nothing was
// begun. Other server errors may come after the model has run. So does a
// content filter's 400: Azure documents that it bills those.
func (c complaint) judge(status int) (jobs.Kind, jobs.Billing) {
	switch {
	case status == http.StatusServiceUnavailable, status == 529:
		return jobs.ServerError, jobs.Free
	case status == http.StatusRequestTimeout:
		return jobs.Timeout, jobs.Presumed
	case status >= 500, status == http.StatusFailedDependency, // of text-generation-inference, which failed while it wrote
		status == 499: // of Gemini, which cancelled it
		return jobs.ServerError, jobs.Presumed
	case c.filtered(status):
		return jobs.Refused, jobs.Presumed
	case c.misspoken(): // after the model has run
		return jobs.InvalidAnswer, jobs.Presumed
	}
	return c.blame(status), jobs.Free
}

// blame decides the kind of a rejection that is neither a server's error nor
// a content filter's.
func (c complaint) blame(status int) jobs.Kind {
	switch {
	case c.unpaid():
		return jobs.NoQuota
	case c.tooLong(status):
		return jobs.Overflow
	}
	switch status {
	case http.StatusTooManyRequests, 498: // Groq's "capacity exceeded"
		return jobs.RateLimited
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusProxyAuthRequired:
		return jobs.NoQuota
	case http.StatusConflict, http.StatusTooEarly:
		return jobs.ServerError
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		switch {
		case c.says("no endpoints found that support"): // OpenRouter's, of tools or pictures
			return jobs.Refused
		case c.misdirected():
			return jobs.NoQuota
		}
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		switch {
		case status == http.StatusBadRequest && (c.misnamed() || c.overstated(status)):
			return jobs.NoQuota
		case c.beyond():
			return jobs.Refused
		}
	}
	if status/100 == 3 {
		return jobs.NoQuota
	}
	return jobs.InvalidRequest
}

// beyond reports whether this model or server cannot do what the request wants,
// and another may: take tools, see, hold to such a schema, or go on with a
// conversation as it is.
func (c complaint) beyond() bool {
	return c.is("unsupported_parameter", "unsupported_value") ||
		c.says("not supported", "does not support", "doesn't support", "unsupported parameter", "unsupported value", "is deprecated for this model",
			"not a multimodal model", "requires --enable-auto-tool-choice",
			"must be passed back", "thought_signature", "reasoning_content is missing",
			"invalid schema", "grammar compilation", "too many states for serving", "parameters with union types",
			"image exceeds", "image dimensions exceed", "patches after processing")
}

// misspoken reports whether the model wrote something that the provider could
// not read, which Groq tells as a bad request.
func (c complaint) misspoken() bool {
	return c.is("tool_use_failed", "json_validate_failed", "output_parse_failed")
}

// misdirected reports whether a 404 blames the path or the model's name. Both
// are the configuration's, so an operator must act; burying the batch job by
// job would help nobody.
func (c complaint) misdirected() bool {
	return c.message == "" || c.is("model_not_found", "not_found_error", "DeploymentNotFound") || c.says("model", "url", "path", "route", "not found", "no endpoints found")
}

// misnamed reports whether a 400 blames the model's name, as Mistral's, DeepSeek's
// and OpenRouter's do. It is the configuration's like that of a 404.
func (c complaint) misnamed() bool {
	return c.is("invalid_model", "model_not_found") || c.says("model not exist", "is not a valid model id")
}

// overstated reports whether a 400 says that the model never gives answers as
// long as we allow, which is as its configuration says for every job.
func (c complaint) overstated(status int) bool {
	return status == http.StatusBadRequest && !c.tooLong(status) &&
		c.says("max_tokens", "max_completion_tokens", "max_output_tokens", "maxoutputtokens") &&
		c.says("is too large", "maximum allowed number of output tokens", "the supported range", "the valid range",
			"must be less than or equal to", "above maximum value", "should be [1,")
}

// unpaid reports whether the account, not the request, is at fault. Gemini says
// "check your plan and billing" of limits per minute and per day too, but then
// how long to wait; its "limit: 0" is a model that the plan does not have.
func (c complaint) unpaid() bool {
	if c.code == "RESOURCE_EXHAUSTED" && c.wait > 0 {
		return c.says("limit: 0,")
	}
	return c.is("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "billing_error",
		"account_deactivated", "invalid_api_key", "authentication_error", "API_KEY_INVALID", "exceeded_current_quota_error", "Arrearage") ||
		c.says("credit balance is too low", "insufficient balance", "api key not valid",
			"exceeded your current quota, please check your plan and billing", "spending limit", "used all available credits",
			"reached your specified api usage limits", "credits are depleted",
			"location is not supported", "requires billing to be enabled")
}

// tooLong reports whether the request does not fit the model. A 429 for a
// single request that exceeds the whole quota is one of these: it would be
// refused again however long one waits.
func (c complaint) tooLong(status int) bool {
	switch status {
	case http.StatusRequestEntityTooLarge:
		return true
	case http.StatusTooManyRequests:
		return c.says("request too large")
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return c.is("context_length_exceeded", "string_above_max_length", "exceed_context_size_error", "max_tokens_per_request") ||
			c.says("maximum context length", "context size", "context window", "context length",
				"prompt is too long", "input is too long", "exceed context limit", "exceeds the maximum number of tokens",
				"input token count", "`inputs` tokens", "too large for model with", "maximum prompt length", "maximum model length",
				"maximum input length", "payload size exceeds", "model token limit", "range of input length should be", "prompt exceeds max length",
				"must be at least 1, got -") // vLLM, of the room that is left for an answer
	}
	return false
}

// filtered reports whether the content was refused.
func (c complaint) filtered(status int) bool {
	return c.is("content_filter", "content_policy_violation", "invalid_prompt", "bio_policy", "image_content_policy_violation", "data_inspection_failed") ||
		status == http.StatusBadRequest && c.says("content management policy", "content filtering policy", "usage policy", "safety system", "content exists risk") ||
		status == http.StatusForbidden && c.says("moderation", "flagged", "usage guidelines")
}

// status is the HTTP status that an error within an answer would have had.
func (c complaint) status(code int64) int {
	switch {
	case code >= 400 && code <= 599:
		return int(code)
	case c.code == "rate_limit_exceeded":
		return http.StatusTooManyRequests
	case c.filtered(0), c.tooLong(http.StatusBadRequest), strings.Contains(c.code, "image"):
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}
