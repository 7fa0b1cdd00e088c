package documents

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

func answered() *jobs.Outcome {
	return &jobs.Outcome{
		Job: "0a0b", CustomID: "a.txt", Source: "in/a.txt", Status: jobs.Answered, Model: "small",
		Answer: "A <lease> & more", Usage: jobs.Usage{Input: 90, Output: 8}, Cost: 125,
		Finished: time.Unix(1_790_000_000, 0),
		Attempts: []jobs.Attempt{
			{Kind: jobs.ServerError, Message: "overloaded", Billing: jobs.Presumed, Cost: 25, Usage: jobs.Usage{Input: 40}},
			{RequestID: "req_7", Billing: jobs.Billed, Cost: 100, Usage: jobs.Usage{Input: 50, Output: 8}},
		},
	}
}

func with(change func(*jobs.Outcome)) *jobs.Outcome {
	o := answered()
	change(o)
	return o
}

func dead(kind jobs.Kind, code int, body string) *jobs.Outcome {
	return with(func(o *jobs.Outcome) {
		o.Status, o.Kind, o.Code, o.ErrorBody, o.Answer = jobs.Dead, kind, code, []byte(body), ""
		o.Attempts = o.Attempts[:1]
	})
}

func TestResultsAreOneLineEach(t *testing.T) {
	for _, tc := range []struct {
		o    *jobs.Outcome
		want string
	}{
		{answered(), `{"custom_id":"a.txt","source":"in/a.txt","status":"answered","model":"small","answer":"A <lease> & more","usage":{"input":90,"output":8},"cost_usd":0.000125,"ambiguous_usd":0.000025,"attempts":2}`},
		{with(func(o *jobs.Outcome) {
			o.Degraded, o.Reason, o.Attempts, o.Cost = jobs.Partial, "answered by a later model", nil, 2_500_000
			o.Answer = "a\u2028b\x1b[31m\n\u009b\u202e\U000e0041é"
		}), `{"custom_id":"a.txt","source":"in/a.txt","status":"answered","degraded":"partial","reason":"answered by a later model","model":"small","answer":"a\u2028b\u001b[31m\n\u009b\u202e\udb40\udc41é","usage":{"input":90,"output":8},"cost_usd":2.50,"attempts":0}`},
		{with(func(o *jobs.Outcome) {
			o.Source, o.Cost, o.Attempts = "", 0, []jobs.Attempt{{Billing: jobs.Billed, Unpriced: true}}
		}), `{"custom_id":"a.txt","status":"answered","model":"small","answer":"A <lease> & more","usage":{"input":90,"output":8},"cost_usd":null,"attempts":1}`},
		{dead(jobs.ServerError, 503, ""), `{"custom_id":"a.txt","source":"in/a.txt","status":"dead","model":"small","usage":{"input":90,"output":8},"cost_usd":0.000125,"ambiguous_usd":0.000025,"attempts":1,"error":{"kind":"server_error","message":"overloaded"}}`},
	} {
		var b bytes.Buffer
		if err := NewResults(&b).Write(tc.o); err != nil {
			t.Fatal(err)
		}
		if b.String() != tc.want+"\n" || !json.Valid(b.Bytes()) {
			t.Errorf("\n got %s\nwant %s", b.String(), tc.want)
		}
	}
}

func TestBatchResultsHaveOpenAIsForm(t *testing.T) {
	const head = `{"id":"batch_req_0a0b","custom_id":"a.txt","response":`
	const completion = `{"status_code":200,"request_id":"req_7","body":{"id":"chatcmpl-0a0b","object":"chat.completion","created":1790000000,"model":"small","choices":[{"index":0,"message":{"role":"assistant","content":"A <lease> & more","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":50,"completion_tokens":8,"total_tokens":58}}},"error":null`
	for name, tc := range map[string]struct {
		o           *jobs.Outcome
		out, errors string
	}{
		"verbatim": {with(func(o *jobs.Outcome) { o.Response = []byte(`{ "object":"chat.completion",  "x":"\/<"}`) }),
			head + `{"status_code":200,"request_id":"req_7","body":{ "object":"chat.completion",  "x":"\/<"}},"error":null}`, ""},
		"verbatim but for line breaks": {with(func(o *jobs.Outcome) { o.Response = []byte("{\r\n \"choices\": []\n}") }),
			head + `{"status_code":200,"request_id":"req_7","body":{"choices":[]}},"error":null}`, ""},
		"another provider": {with(func(o *jobs.Outcome) { o.Response = []byte(`{"type":"message"}`) }),
			head + completion + "}", ""},
		"degraded": {with(func(o *jobs.Outcome) { o.Degraded, o.Reason = jobs.Unavailable, "all models are down" }),
			head + completion + `,"drover":{"degraded":"unavailable","reason":"all models are down"}}`, ""},
		"HTTP error": {dead(jobs.InvalidRequest, 400, `{"error":{"message":"no"}}`), "",
			head + `{"status_code":400,"request_id":"0a0b","body":{"error":{"message":"no"}}},"error":null}`},
		"HTTP error that is not JSON": {dead(jobs.ServerError, 502, "<html>"), "",
			head + `{"status_code":502,"request_id":"0a0b","body":{"error":{"message":"overloaded","type":"server_error","param":null,"code":"server_error"}}},"error":null}`},
		"timeout":   {dead(jobs.Timeout, 0, ""), "", head + `null,"error":{"code":"request_timeout","message":"overloaded"}}`},
		"budget":    {dead(jobs.OverBudget, 0, ""), "", head + `null,"error":{"code":"over_budget","message":"overloaded"}}`},
		"expired":   {with(func(o *jobs.Outcome) { o.Status = jobs.Expired }), "", head + `null,"error":{"code":"batch_expired","message":"This request could not be executed before the batch's deadline."}}`},
		"cancelled": {with(func(o *jobs.Outcome) { o.Status = jobs.WasCancelled }), "", head + `null,"error":{"code":"batch_cancelled","message":"The batch was cancelled before this request was executed."}}`},
	} {
		var out, errs bytes.Buffer
		if err := NewBatchResults(&out, &errs).Write(tc.o); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(out.String()); got != tc.out {
			t.Errorf("%s:\n got %s\nwant %s", name, got, tc.out)
		}
		if got := strings.TrimSpace(errs.String()); got != tc.errors {
			t.Errorf("%s:\n got %s\nwant %s", name, got, tc.errors)
		}
	}
}
