package llm

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// first is the first value of a header whose name is in canonical form.
func first(h http.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// requestID is what the provider's support asks for.
func requestID(h http.Header) string {
	for _, name := range []string{"X-Request-Id", "Request-Id", "Apim-Request-Id", "Cf-Ray"} {
		if id := first(h, name); id != "" {
			return shorten(id, 128)
		}
	}
	return ""
}

// longestWait bounds what a provider may ask for: a day covers daily quotas.
const longestWait = 24 * time.Hour

// retryAfter is how long the provider wants to be left alone, 0 if it does
// not say. Without a Retry-After, a 429 means the reset of whichever quota is
// used up.
func retryAfter(status int, h http.Header) time.Duration {
	if ms, err := strconv.ParseFloat(first(h, "Retry-After-Ms"), 64); err == nil {
		return wait(ms / 1000)
	}
	if after := first(h, "Retry-After"); after != "" {
		if s, err := strconv.ParseFloat(after, 64); err == nil {
			return wait(s)
		}
		if at, err := http.ParseTime(after); err == nil {
			return wait(at.Sub(now(h)).Seconds())
		}
	}
	if status != http.StatusTooManyRequests {
		return 0
	}
	q := remaining(h)
	if q == nil {
		return max(reset(h, "X-Ratelimit-Reset"), 0) // OpenRouter's
	}
	switch {
	case q.RequestsLeft == 0 && q.TokensLeft != 0:
		return max(q.RequestsReset, 0)
	case q.TokensLeft == 0 && q.RequestsLeft != 0:
		return max(q.TokensReset, 0)
	}
	return max(q.RequestsReset, q.TokensReset, 0)
}

// now is the time by the provider's clock, so that a wrong one here does not
// turn its dates into nonsense.
func now(h http.Header) time.Time {
	if at, err := http.ParseTime(first(h, "Date")); err == nil {
		return at
	}
	return time.Now()
}

func wait(seconds float64) time.Duration {
	if seconds <= 0 || math.IsNaN(seconds) {
		return 0
	}
	return time.Duration(min(seconds, longestWait.Seconds()) * float64(time.Second))
}

// The names of headers that say one thing, in canonical form: OpenAI's and those
// of who copied it, Anthropic's, Mistral's, and Cerebras' of one minute. Those of
// a day or a month are not among them.
var (
	requestsLimit = []string{"X-Ratelimit-Limit-Requests", "Anthropic-Ratelimit-Requests-Limit", "X-Ratelimit-Limit-Req-Minute", "X-Ratelimit-Limit-Requests-Minute"}
	requestsLeft  = []string{"X-Ratelimit-Remaining-Requests", "Anthropic-Ratelimit-Requests-Remaining", "X-Ratelimit-Remaining-Req-Minute", "X-Ratelimit-Remaining-Requests-Minute"}
	requestsReset = []string{"X-Ratelimit-Reset-Requests", "Anthropic-Ratelimit-Requests-Reset", "X-Ratelimit-Reset-Requests-Minute"}
	tokensLimit   = []string{"X-Ratelimit-Limit-Tokens", "Anthropic-Ratelimit-Tokens-Limit", "X-Ratelimit-Limit-Tokens-Minute"}
	tokensLeft    = []string{"X-Ratelimit-Remaining-Tokens", "Anthropic-Ratelimit-Tokens-Remaining", "X-Ratelimit-Remaining-Tokens-Minute"}
	tokensReset   = []string{"X-Ratelimit-Reset-Tokens", "Anthropic-Ratelimit-Tokens-Reset", "Anthropic-Ratelimit-Input-Tokens-Reset", "X-Ratelimit-Reset-Tokens-Minute"}
)

// aMinute is longer than a limit a minute takes to be whole again, whatever the
// rounding.
const aMinute = 90 * time.Second

// quota reads what the headers say is left, nil if nothing. One that takes longer
// to be whole again is not a minute's, such as Groq's of requests, which is a day's:
// nobody can go by it.
func quota(h http.Header) *jobs.Quota {
	q := remaining(h)
	if q == nil {
		return nil
	}
	if q.RequestsReset > aMinute {
		q.RequestsLimit, q.RequestsLeft, q.RequestsReset = -1, -1, -1
	}
	if q.TokensReset > aMinute {
		q.TokensLimit, q.TokensLeft, q.TokensReset = -1, -1, -1
	}
	return q
}

// remaining reads what the headers say is left, of whatever time.
func remaining(h http.Header) *jobs.Quota {
	q := jobs.Quota{
		RequestsLimit: number(h, requestsLimit...), RequestsLeft: number(h, requestsLeft...),
		TokensLimit: number(h, tokensLimit...), TokensLeft: number(h, tokensLeft...),
	}
	tightest(h, &q)
	if q == (jobs.Quota{RequestsLimit: -1, RequestsLeft: -1, TokensLimit: -1, TokensLeft: -1}) {
		return nil
	}
	q.RequestsReset, q.TokensReset = reset(h, requestsReset...), reset(h, tokensReset...)
	return &q
}

// tightest takes in that Anthropic limits input and output each by itself: of all
// tokens there is as much left as of the part that has least, as a share.
func tightest(h http.Header, q *jobs.Quota) {
	in, inLeft := number(h, "Anthropic-Ratelimit-Input-Tokens-Limit"), number(h, "Anthropic-Ratelimit-Input-Tokens-Remaining")
	out, outLeft := number(h, "Anthropic-Ratelimit-Output-Tokens-Limit"), number(h, "Anthropic-Ratelimit-Output-Tokens-Remaining")
	if in <= 0 || out <= 0 || inLeft < 0 || outLeft < 0 {
		return
	}
	if q.TokensLimit <= 0 || q.TokensLeft < 0 {
		q.TokensLimit, q.TokensLeft = in+out, in+out
	}
	share := min(float64(inLeft)/float64(in), float64(outLeft)/float64(out))
	q.TokensLeft = min(q.TokensLeft, int64(share*float64(q.TokensLimit)))
}

// number is the value of the first header that has one, -1 if none has.
func number(h http.Header, names ...string) int64 {
	for _, name := range names {
		text := first(h, name)
		if text == "" {
			continue // nearly always; failing to parse would be dearer
		}
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
			return n
		}
	}
	return -1
}

// untilSeconds reads a bare number: seconds to wait or, when that would be
// decades, a Unix time in seconds or milliseconds.
func untilSeconds(s float64, h http.Header) time.Duration {
	switch {
	case s > 1e12:
		return wait(s/1000 - float64(now(h).Unix()))
	case s > 1e9:
		return wait(s - float64(now(h).Unix()))
	}
	return wait(s)
}

// reset reads a time to wait, written as "6m0s", as seconds, or as a date;
// -1 if there is none.
func reset(h http.Header, names ...string) time.Duration {
	for _, name := range names {
		text := strings.TrimSpace(first(h, name))
		if text == "" {
			continue
		}
		if s, err := strconv.ParseFloat(text, 64); err == nil {
			return untilSeconds(s, h)
		}
		if d, err := time.ParseDuration(text); err == nil {
			return wait(d.Seconds())
		}
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			return wait(at.Sub(now(h)).Seconds())
		}
	}
	return -1
}
