package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a server in a bubble and a client of it.
type world struct {
	*Server
	t      *testing.T
	client *http.Client
}

func inWorld(t *testing.T, cfg Config, run func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		run(t, &world{s, t, s.Client()})
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func chatBody(text string) string {
	b, _ := json.Marshal(text)
	return fmt.Sprintf(`{"model":"m","max_tokens":500,"messages":[{"role":"user","content":%s}]}`, b)
}

type result struct {
	status int
	header http.Header
	body   gjson.Result
	raw    string
	err    error
}

func (w *world) post(ctx context.Context, path, body string) result {
	w.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://sim"+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	res, err := w.client.Do(req)
	if err != nil {
		return result{err: err}
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	return result{res.StatusCode, res.Header, gjson.ParseBytes(raw), string(raw), err}
}

func (w *world) chat(text string) result {
	w.t.Helper()
	return w.post(w.t.Context(), "/v1/chat/completions", chatBody(text))
}

func TestAnswersReadSensibly(t *testing.T) {
	const answer = "Annual report: The year went well in spite of the weather."
	for _, document := range []string{
		"# Annual report\n\nThe year went well in spite of the weather. Costs fell.",
		"Summarise this in one sentence.\n\n# Annual report\n\nThe year went well in spite of the weather. Costs fell.",
		"Summarise:\n\n<document>\nAnnual report\n\nThe year went well in spite of the weather. Costs fell.\n</document>",
		"Summarise:\n\n<document>\n[page 1]\nAnnual report\n\nThe year went well in spite of the weather. Costs fell.\n</document>",
		"Summarise:\n\nAnnual report\nThe year went well in spite of the weather. Costs fell.",
	} {
		q := question{document: document}
		if got, _ := q.summary(); !strings.HasPrefix(got, answer) {
			t.Errorf("summary of %q = %q", document, got)
		}
	}
}

func TestAnswersTheFormatAskedFor(t *testing.T) {
	schema := `{"type":"json_schema","json_schema":{"schema":{"type":"object","properties":{
		"title":{"type":"string"},"stars":{"type":"integer","minimum":1},"tone":{"enum":["calm"]},
		"tags":{"type":"array","minItems":1,"items":{"type":"boolean"}}}}}}`
	q := question{document: "Words."}
	q.want("json_schema", gjson.Parse(schema).Get("json_schema.schema"))
	var got struct {
		Title string
		Stars int
		Tone  string
		Tags  []bool
	}
	if err := json.Unmarshal([]byte(q.words("")), &got); err != nil {
		t.Fatalf("%v: %s", err, q.words(""))
	}
	if got.Title == "" || got.Stars != 1 || got.Tone != "calm" || len(got.Tags) != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestEveryEndpointAnswers(t *testing.T) {
	for _, row := range []struct{ path, body, text string }{
		{"/v1/chat/completions", chatBody("Hello there, world."), "choices.0.message.content"},
		{"/v1/responses", `{"model":"m","input":"Hello there, world."}`, "output.0.content.0.text"},
		{"/v1/messages", chatBody("Hello there, world."), "content.0.text"},
		{"/v1/embeddings", `{"model":"m","input":["a","b"]}`, "data.1.embedding.0"},
		{"/v1beta/models/m:generateContent", `{"contents":[{"parts":[{"text":"Hello there, world."}]}]}`, "candidates.0.content.parts.0.text"},
		{"/v1/models/m:generateContent", `{"contents":[{"role":"user","parts":[{"text":"Hello there, world."}]}]}`, "candidates.0.content.parts.0.text"},
	} {
		inWorld(t, Config{}, func(t *testing.T, w *world) {
			r := w.post(t.Context(), row.path, row.body)
			if r.status != 200 || r.body.Get(row.text).String() == "" || !gjson.Valid(r.raw) {
				t.Errorf("%s: %d %s", row.path, r.status, r.raw)
			}
			e := w.Ledger(0)[0]
			if !e.Billed || !e.Delivered || e.Input == 0 || e.Prompt != Prompt([]byte(row.body)) {
				t.Errorf("%s: ledger says %+v", row.path, e)
			}
		})
	}
}

func TestLatencyTakesItsTime(t *testing.T) {
	inWorld(t, Config{Latency: 2 * time.Second, TokensPerSecond: 10}, func(t *testing.T, w *world) {
		start := time.Now()
		r := w.chat("Hello there, world.")
		want := 2*time.Second + time.Duration(r.body.Get("usage.completion_tokens").Int())*100*time.Millisecond
		if got := time.Since(start); got != want {
			t.Errorf("took %v, want %v", got, want)
		}
	})
}

func TestLatencySpreadsAroundItsMedian(t *testing.T) {
	inWorld(t, Config{Latency: time.Second, Spread: 0.5}, func(t *testing.T, w *world) {
		below, slowest := 0, time.Duration(0)
		for i := range 200 {
			start := time.Now()
			w.chat(fmt.Sprint("document ", i))
			took := time.Since(start)
			slowest = max(slowest, took)
			if took < time.Second {
				below++
			}
		}
		if below < 70 || below > 130 || slowest < 2*time.Second {
			t.Errorf("%d of 200 below the median, slowest %v", below, slowest)
		}
	})
}

func TestImpatientClientPaysAnyway(t *testing.T) {
	for _, cfg := range []Config{{Latency: time.Minute}, {Odds: Odds{Hang: 1}}} {
		inWorld(t, cfg, func(t *testing.T, w *world) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if r := w.post(ctx, "/v1/chat/completions", chatBody("x")); !errors.Is(r.err, context.DeadlineExceeded) {
				t.Fatalf("got %+v", r)
			}
			synctest.Wait()
			if e := w.Ledger(0)[0]; !e.Billed || e.Delivered {
				t.Errorf("ledger says %+v", e)
			}
			if st := w.Stats(); st.Billed != 1 || st.Undelivered != 1 {
				t.Errorf("stats say %+v", st)
			}
		})
	}
}

func TestMarkersDecideADocumentsFate(t *testing.T) {
	for _, row := range []struct {
		marker string
		check  func(r result) bool
		billed bool
	}{
		{"500", func(r result) bool { return r.status == 500 && r.body.Get("error.type").Str == "server_error" }, false},
		{"402", func(r result) bool { return r.status == 402 && r.body.Get("error.code").Str == "insufficient_quota" }, false},
		{"drop", func(r result) bool { return r.err != nil && r.status == 0 }, true},
		{"cut", func(r result) bool { return errors.Is(r.err, io.ErrUnexpectedEOF) && r.status == 200 }, true},
		{"truncate", func(r result) bool { return r.err == nil && r.status == 200 && !gjson.Valid(r.raw) }, true},
		{"garbage", func(r result) bool { return r.status == 200 && strings.HasPrefix(r.raw, "<html>") }, true},
		{"refuse", func(r result) bool { return r.body.Get("choices.0.message.refusal").Str != "" }, true},
		{"length", func(r result) bool { return r.body.Get("choices.0.finish_reason").Str == "length" }, true},
		{"no-usage", func(r result) bool { return r.status == 200 && !r.body.Get("usage").Exists() }, true},
		{"nonsense", func(r result) bool { return r.status == 200 }, true},
	} {
		inWorld(t, Config{}, func(t *testing.T, w *world) {
			r := w.chat("A document about rain. [[simulate:" + row.marker + "]]")
			if !row.check(r) {
				t.Errorf("%s: %d %q %v", row.marker, r.status, r.raw, r.err)
			}
			if e := w.Ledger(0)[0]; e.Billed != row.billed {
				t.Errorf("%s: billed = %v", row.marker, e.Billed)
			}
		})
	}
}

func TestMarkerWithACountLapses(t *testing.T) {
	inWorld(t, Config{}, func(t *testing.T, w *world) {
		var got []int
		for range 4 {
			got = append(got, w.chat("[[simulate:503*2]]").status)
		}
		if d := cmp.Diff([]int{503, 503, 200, 200}, got); d != "" {
			t.Error(d)
		}
	})
}

func TestOutageCoversItsModelAndTime(t *testing.T) {
	cfg := Config{Outages: []Outage{{Model: "m", From: time.Minute, For: 3 * time.Minute}}}
	inWorld(t, cfg, func(t *testing.T, w *world) {
		var got []int
		for range 6 {
			got = append(got, w.chat("x").status)
			time.Sleep(time.Minute)
		}
		if d := cmp.Diff([]int{200, 503, 503, 503, 200, 200}, got); d != "" {
			t.Error(d)
		}
	})
	inWorld(t, Config{Outages: []Outage{{Model: "other"}}}, func(t *testing.T, w *world) {
		if r := w.chat("x"); r.status != 200 {
			t.Errorf("another model's outage: %d", r.status)
		}
	})
}

func TestChanceDependsOnSeedAndRequestOnly(t *testing.T) {
	fates := func(seed uint64, order []int) map[int]int {
		got := make(map[int]int)
		inWorld(t, Config{Seed: seed, Odds: Odds{"500": 0.3, "503": 0.2}}, func(t *testing.T, w *world) {
			for _, i := range order {
				got[i] = w.chat(fmt.Sprint("document ", i)).status
			}
		})
		return got
	}
	forth, back := make([]int, 400), make([]int, 400)
	for i := range forth {
		forth[i], back[len(back)-1-i] = i, i
	}
	first := fates(1, forth)
	if d := cmp.Diff(first, fates(1, back)); d != "" {
		t.Errorf("order mattered: %s", d)
	}
	if cmp.Equal(first, fates(2, forth)) {
		t.Error("the seed did not matter")
	}
	counts := make(map[int]float64)
	for _, status := range first {
		counts[status] += 1.0 / 400
	}
	if math.Abs(counts[500]-0.3) > 0.07 || math.Abs(counts[503]-0.2) > 0.07 {
		t.Errorf("shares %v", counts)
	}
}

func TestLimitsAreTrue(t *testing.T) {
	cfg := Config{Limits: map[string]Limit{"*": {RequestsPerMinute: 60, Burst: 10 * time.Second}}}
	inWorld(t, cfg, func(t *testing.T, w *world) {
		count := func(n int) (answered int, last result) {
			for range n {
				if r := w.chat("x"); r.status == 200 {
					answered++
				} else {
					last = r
				}
			}
			return answered, last
		}
		answered, refused := count(30)
		if answered != 10 {
			t.Errorf("%d answered at once, want the burst of 10", answered)
		}
		h := refused.header
		if refused.status != 429 || h.Get("Retry-After") != "1" || h.Get("X-Ratelimit-Remaining-Requests") != "0" ||
			h.Get("X-Ratelimit-Limit-Requests") != "60" || h.Get("X-Ratelimit-Reset-Requests") != "10s" {
			t.Errorf("refused with %d %v", refused.status, h)
		}
		time.Sleep(5 * time.Second)
		if answered, _ := count(30); answered != 5 {
			t.Errorf("%d answered after 5 s at one a second", answered)
		}
		time.Sleep(time.Hour)
		if answered, _ := count(30); answered != 10 {
			t.Errorf("%d answered after an hour, want the burst of 10", answered)
		}
	})
}

func TestLimitsChangeAndMayBeSilent(t *testing.T) {
	cfg := Config{Limits: map[string]Limit{"*": {RequestsPerMinute: 600, Burst: 10 * time.Second}}}
	inWorld(t, cfg, func(t *testing.T, w *world) {
		w.chat("x")
		if err := w.SetLimits(map[string]Limit{"*": {RequestsPerMinute: 60, Silent: true}}); err != nil {
			t.Fatal(err)
		}
		r := w.chat("x") // what was saved up is gone
		if r.status != 429 || r.header.Get("Retry-After") != "1" || r.header.Get("X-Ratelimit-Limit-Requests") != "" {
			t.Errorf("right after the change: %d %v", r.status, r.header)
		}
		time.Sleep(time.Second)
		if r := w.chat("x"); r.status != 200 {
			t.Errorf("a second later: %d", r.status)
		}
		if w.SetLimits(map[string]Limit{"m": {Counts: -1}}) == nil {
			t.Error("a negative count is taken")
		}
	})
}

func TestMoreTokensMayBeCountedThanReported(t *testing.T) {
	inWorld(t, Config{Limits: map[string]Limit{"m": {TokensPerMinute: 10_000, Counts: 10}}}, func(t *testing.T, w *world) {
		r := w.chat("x")
		left, err := strconv.ParseInt(r.header.Get("X-Ratelimit-Remaining-Tokens"), 10, 64)
		if used := r.body.Get("usage.total_tokens").Int(); err != nil || left != 10_000-10*used {
			t.Errorf("%d reported, %d left of 10,000 (%v)", used, left, err)
		}
	})
}

func TestTokenLimitTakesTheLargestRequestWhenFull(t *testing.T) {
	cfg := Config{Limits: map[string]Limit{"m": {TokensPerMinute: 100}}}
	inWorld(t, cfg, func(t *testing.T, w *world) {
		if r := w.chat(strings.Repeat("long ", 500)); r.status != 200 {
			t.Fatalf("a request beyond the limit: %d", r.status)
		}
		r := w.chat("x")
		ms := r.header.Get("Retry-After-Ms")
		if r.status != 429 || ms == "" || ms == "0" {
			t.Errorf("got %d, retry after %q ms", r.status, ms)
		}
	})
}

func TestAnthropicSpeaksItsOwnHeadersAndErrors(t *testing.T) {
	cfg := Config{Limits: map[string]Limit{"m": {RequestsPerMinute: 1}}}
	inWorld(t, cfg, func(t *testing.T, w *world) {
		w.post(t.Context(), "/v1/messages", chatBody("x"))
		r := w.post(t.Context(), "/v1/messages", chatBody("x"))
		want := time.Now().Add(time.Minute).UTC().Format(time.RFC3339)
		if r.body.Get("error.type").Str != "rate_limit_error" || r.header.Get("Anthropic-Ratelimit-Requests-Reset") != want {
			t.Errorf("got %s %v", r.raw, r.header)
		}
	})
}

func TestGemini3WantsItsSignaturesBack(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{}, func(t *testing.T, w *world) {
		talk := func(model, call string) int {
			return w.post(t.Context(), "/v1beta/models/"+model+":generateContent", `{"contents":[{"role":"user","parts":[{"text":"x"}]},`+
				`{"role":"model","parts":[`+call+`,{"functionCall":{"name":"b"}}]},{"role":"user","parts":[{"functionResponse":{"name":"a","response":{}}}]}]}`).status
		}
		for _, row := range []struct {
			model, call string
			want        int
		}{
			{"gemini-3.8-flash", `{"functionCall":{"name":"a"}}`, 400},
			{"gemini-3.8-flash", `{"functionCall":{"name":"a"},"thoughtSignature":"eA=="}`, 200},
			{"gemini-2.5-pro", `{"functionCall":{"name":"a"}}`, 200},
		} {
			if got := talk(row.model, row.call); got != row.want {
				t.Errorf("%s, %s: %d", row.model, row.call, got)
			}
		}
	})
}

func TestKeyIsRequired(t *testing.T) {
	inWorld(t, Config{Key: "secret"}, func(t *testing.T, w *world) {
		if r := w.chat("x"); r.status != 401 || strings.Contains(r.raw, "secret") {
			t.Errorf("got %d %s", r.status, r.raw)
		}
		res, err := w.client.Get("http://sim/simulator/stats")
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != 401 {
			t.Errorf("stats without the key: %d", res.StatusCode)
		}
	})
}

func TestContextIsEnforced(t *testing.T) {
	inWorld(t, Config{Context: 600}, func(t *testing.T, w *world) {
		if r := w.chat("short"); r.status != 200 {
			t.Errorf("short: %d", r.status)
		}
		if r := w.chat(strings.Repeat("x", 800)); r.body.Get("error.code").Str != "context_length_exceeded" {
			t.Errorf("long: %s", r.raw)
		}
	})
}

func TestFaultsChangeWhileItRuns(t *testing.T) {
	inWorld(t, Config{}, func(t *testing.T, w *world) {
		time.Sleep(time.Hour)
		r := w.post(t.Context(), "/simulator/faults", `{"odds":{"500":1},"outages":[{"fault":"429","for":"30s"}]}`)
		if r.status != 204 {
			t.Fatalf("got %d %s", r.status, r.raw)
		}
		if r := w.chat("x"); r.status != 429 {
			t.Errorf("in the outage: %d", r.status)
		}
		time.Sleep(30 * time.Second)
		if r := w.chat("x"); r.status != 500 {
			t.Errorf("after the outage: %d", r.status)
		}
		for _, bad := range []string{`{"odds":{"nonsense":1}}`, `{"odds":{"500":2}}`, `{"oods":{}}`, `{"outages":[{"for":"-1s"}]}`} {
			if r := w.post(t.Context(), "/simulator/faults", bad); r.status != 400 || r.raw == "" {
				t.Errorf("%s: %d %s", bad, r.status, r.raw)
			}
		}
	})
}

func TestLedgerKeepsTheNewestAndSumsUpAll(t *testing.T) {
	inWorld(t, Config{Keep: 3}, func(t *testing.T, w *world) {
		for i := range 5 {
			w.chat(fmt.Sprint(i))
		}
		w.chat("[[simulate:500]]")
		res, err := w.client.Get("http://sim/simulator/ledger?after=4")
		if err != nil {
			t.Fatal(err)
		}
		lines, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if n := strings.Count(string(lines), "\n"); n != 2 {
			t.Errorf("%d entries after the fourth:\n%s", n, lines)
		}
		var seqs []uint64
		for _, e := range w.Ledger(0) {
			seqs = append(seqs, e.Seq)
		}
		if d := cmp.Diff([]uint64{4, 5, 6}, seqs); d != "" {
			t.Error(d)
		}
		st := w.Stats()
		if st.Calls != 6 || st.Billed != 5 || st.Undelivered != 0 || st.Statuses[500] != 1 || st.Models["m"].Calls != 6 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestCloseFreesWhoeverHangs(t *testing.T) {
	inWorld(t, Config{}, func(t *testing.T, w *world) {
		failed := make(chan error, 1)
		go func() { failed <- w.chat("[[simulate:hang]]").err }()
		time.Sleep(time.Second)
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if err := <-failed; err == nil {
			t.Error("the hanging call was answered")
		}
		if r := w.chat("x"); r.err == nil {
			t.Error("a closed server answers")
		}
	})
}

func TestCloseFreesWhoeverHangsInAnotherServer(t *testing.T) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	outer := httptest.NewServer(s)
	defer outer.Close()
	failed := make(chan error, 1)
	go func() {
		_, err := outer.Client().Post(outer.URL+"/v1/chat/completions", "", strings.NewReader(chatBody("[[simulate:hang]]")))
		failed <- err
	}()
	for len(s.Ledger(0)) == 0 { // until it hangs
		runtime.Gosched()
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if <-failed == nil {
		t.Error("the hanging call was answered")
	}
}

func TestListensOnARealPort(t *testing.T) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	url, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Post(url+"/chat/completions", "", strings.NewReader(chatBody("x")))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if _, err := s.Listen(strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/v1")); err == nil {
		t.Error("the port was lent twice")
	}
	if err := s.Close(); err != nil || res.StatusCode != 200 {
		t.Errorf("%d, %v", res.StatusCode, err)
	}
}

func TestWrongConfigIsNamed(t *testing.T) {
	for _, cfg := range []Config{
		{Odds: Odds{"200": 1}}, {Odds: Odds{"500": -1}}, {Odds: Odds{"500": 0.6, Hang: 0.6}},
		{Latency: -1}, {Outages: []Outage{{Fault: "rain"}}}, {Limits: map[string]Limit{"m": {RequestsPerMinute: -1}}},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

func FuzzRequests(f *testing.F) {
	f.Add(chatBody("Hello. [[simulate:length]]"))
	f.Add(`{"model":"m","messages":[{"content":[{"type":"text","text":"x"}]}],"tools":[1],"max_tokens":-5}`)
	f.Add(`{"model":"m","response_format":{"type":"json_schema","json_schema":{"schema":{"properties":{"a":{}}}}}}`)
	f.Fuzz(func(t *testing.T, body string) {
		if !gjson.Valid(body) {
			return
		}
		fault, _, _ := marker([]byte(body), "m")
		path := httptest.NewRequest(http.MethodPost, "/", nil)
		path.SetPathValue("call", "m:generateContent")
		for _, d := range []dialect{&chat{}, &responses{}, &embeddings{}, &messages{}, &gemini{}} {
			q := d.read(path, gjson.Parse(body))
			r := q.reply(fault, &Config{})
			if out := d.answer(nil, "id", &q, &r); !gjson.ValidBytes(out) {
				t.Errorf("%T answers %q with %q", d, body, out)
			}
			if out := d.problem(nil, &problem{status: 418, message: body}); !gjson.ValidBytes(out) {
				t.Errorf("%T complains about %q with %q", d, body, out)
			}
		}
	})
}
