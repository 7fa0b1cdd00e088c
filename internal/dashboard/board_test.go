package dashboard

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
)

// fleet is a board over servers of its own, with a batch of three documents.
type fleet struct {
	*testing.T
	servers *wire.Servers
	url     string
}

const batchID = "contracts-1a2b"

func newFleet(t *testing.T, c Config) *fleet {
	t.Helper()
	t.Parallel()
	cfg, err := config.Load(config.Source{Environ: []string{"DROVER_WORKER_DATA=" + t.TempDir()}})
	f := &fleet{T: t}
	f.must(err)
	cfg.Chains["other"] = cfg.Chains["default"]
	f.servers, err = wire.Embed(t.Context(), cfg, false)
	f.must(err)
	t.Cleanup(func() { f.must(f.servers.Close()) })
	w, err := f.servers.Queue.Enqueue(t.Context(), &jobs.Batch{
		ID: batchID, Name: "<b>contracts</b>\u202e", Tenant: "acme", Chain: "default", Prompt: "canary of the prompt",
	})
	f.must(err)
	for _, name := range []string{"a.txt", "<i>b.txt", "c.txt"} {
		f.must(w.Add(t.Context(), name, jobs.Document{Body: []byte("canary of the document")}))
	}
	f.must(w.Close(t.Context()))
	c.Servers, c.Every = f.servers, time.Millisecond
	server := httptest.NewServer(New(c))
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *fleet) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// kill makes dead letters of the first n documents.
func (f *fleet) kill(n int) {
	f.Helper()
	source, err := f.servers.Queue.Source("w")
	f.must(err)
	defer func() { f.must(source.Close()) }()
	for killed := 0; killed < n; {
		lent, err := source.Next(f.Context(), n-killed)
		f.must(err)
		for _, d := range lent {
			o := jobs.NewOutcome(d.Job(), d.Batch(), jobs.Dead, []jobs.Attempt{{Run: 1, Model: "small", Kind: jobs.Timeout, Message: "<script>alert(1)</script>"}})
			o.Kind, o.Reason, o.Finished = jobs.Timeout, "small timed out", time.Now()
			f.must(d.Bury(f.Context(), o))
			killed++
		}
	}
}

func (f *fleet) do(r *http.Request, err error) (int, string) {
	f.Helper()
	f.must(err)
	resp, err := http.DefaultClient.Do(r)
	f.must(err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	f.must(err)
	return resp.StatusCode, string(body)
}

func (f *fleet) get(path string) (int, string) {
	f.Helper()
	return f.do(http.NewRequestWithContext(f.Context(), http.MethodGet, f.url+path, nil))
}

// page is a page that has to be there.
func (f *fleet) page(path string) string {
	f.Helper()
	code, body := f.get(path)
	if code != http.StatusOK {
		f.Fatalf("%s: %d %s", path, code, body)
	}
	return body
}

// post sends a form, name and value in turns.
func (f *fleet) post(path string, form ...string) (int, string) {
	f.Helper()
	v := url.Values{}
	for i := 0; i < len(form); i += 2 {
		v.Set(form[i], form[i+1])
	}
	r, err := http.NewRequestWithContext(f.Context(), http.MethodPost, f.url+path, strings.NewReader(v.Encode()))
	f.must(err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return f.do(r, nil)
}

func (f *fleet) state() jobs.State {
	f.Helper()
	p, err := f.servers.Queue.Progress(f.Context(), batchID)
	f.must(err)
	return p.State
}

func (f *fleet) letters() int64 {
	f.Helper()
	n, err := f.servers.Queue.Letters(f.Context())
	f.must(err)
	return n
}

func has(t *testing.T, page string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(page, p) {
			t.Errorf("it lacks %s:\n%s", p, page)
		}
	}
}

func lacks(t *testing.T, page string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if strings.Contains(page, p) {
			t.Errorf("it has %s:\n%s", p, page)
		}
	}
}

func TestPagesShowTheFleetAndNothingOfWhatIsAsked(t *testing.T) {
	f := newFleet(t, Config{})
	f.kill(2)
	overview, batch, dead := f.page("/"), f.page("/batches/"+batchID), f.page("/dead")
	has(t, overview, "&lt;b&gt;contracts&lt;/b&gt;", batchID, "acme", "2 <small>of 3", "sim-small", ">closed<", "0 requests/min of 600", `<b class="count">2</b>`)
	has(t, batch, "<dd>acme", "<dd>default", "Pause", "<b>2</b><small>of 3")
	has(t, dead, "&lt;i&gt;b.txt", "timeout", "small timed out", "&lt;script&gt;alert(1)", "Replay 2")
	for _, page := range []string{overview, batch, dead} {
		lacks(t, page, "canary", "<b>contracts", "\u202e", "<script>alert", "<i>b.txt")
	}
}

func TestUnknownBatchIsNotFound(t *testing.T) {
	f := newFleet(t, Config{})
	if code, body := f.get("/batches/none"); code != http.StatusNotFound || !strings.Contains(body, "no such batch") {
		t.Errorf("%d %s", code, body)
	}
}

func TestBatchIsPausedResumedAndCancelled(t *testing.T) {
	f := newFleet(t, Config{})
	for _, step := range []struct {
		do   string
		then jobs.State
		told string
	}{
		{"pause", jobs.Paused, "paused: calls that are running finish"},
		{"resume", jobs.Live, "resumed"},
		{"cancel", jobs.Cancelled, "cancelled: "},
	} {
		code, body := f.post("/batches/"+batchID, "do", step.do)
		if state := f.state(); code != http.StatusOK || state != step.then {
			t.Fatalf("%s: %d, and the batch is %s", step.do, code, state)
		}
		has(t, body, step.told, `<span class="state `+string(step.then)+`">`)
	}
	if code, body := f.post("/batches/"+batchID, "do", "pause"); code != http.StatusBadGateway || !strings.Contains(body, "was cancelled") {
		t.Errorf("pausing what is over: %d %s", code, body)
	}
	if code, _ := f.post("/batches/"+batchID, "do", "explode"); code != http.StatusBadRequest {
		t.Errorf("doing what there is not: %d", code)
	}
}

func TestLimitOfABatchIsChanged(t *testing.T) {
	f := newFleet(t, Config{})
	for amount, want := range map[string]jobs.USD{"12.50": 12_500_000, "": 0} {
		_, body := f.post("/batches/"+batchID, "do", "budget", "limit", amount)
		b, err := f.servers.Queue.Batch(t.Context(), batchID)
		f.must(err)
		if b.Budget != want {
			t.Errorf("%q made the limit %v:\n%s", amount, b.Budget, body)
		}
	}
	for _, wrong := range []string{"much", "0", "-1"} {
		if code, _ := f.post("/batches/"+batchID, "do", "budget", "limit", wrong); code != http.StatusBadRequest {
			t.Errorf("a limit of %q: %d", wrong, code)
		}
	}
	f.servers.Embedded = false // as servers of others, whose sums are theirs
	if code, body := f.post("/budgets", "name", "nobody's", "limit", "3"); code == http.StatusOK || !strings.Contains(body, "there is no account") {
		t.Errorf("a budget that there is not: %d %s", code, body)
	}
}

func TestDeadLettersAreChosenReplayedAndDropped(t *testing.T) {
	f := newFleet(t, Config{})
	f.kill(3)
	has(t, f.page("/dead?kind=refused"), "None is like that.")
	has(t, f.page("/dead?batch="+batchID+"&kind=timeout&model=small&tenant=acme"), "Replay 3")
	_, body := f.post("/dead", "do", "replay", "of", batchID, "job", string(jobs.NewID(batchID, "a.txt")), "kind", "timeout")
	if n := f.letters(); n != 2 {
		t.Errorf("%d letters left after one replay:\n%s", n, body)
	}
	has(t, body, "1 dead letter replayed", "Replay 2")
	f.post("/dead", "do", "drop", "kind", "refused")
	if n := f.letters(); n != 2 {
		t.Errorf("%d letters left, though none of that kind was there to drop", n)
	}
	_, body = f.post("/dead", "do", "drop", "batch", batchID)
	has(t, body, "2 dead letters dropped")
	if n := f.letters(); n != 0 {
		t.Errorf("%d letters left", n)
	}
}

func TestDeadLettersAreReplayedByAnotherChain(t *testing.T) {
	f := newFleet(t, Config{})
	if has(t, f.page("/dead"), "None:"); strings.Contains(f.page("/dead"), "<select name=\"chain\"") {
		t.Error("there is a choice of chains for no letter")
	}
	f.kill(3)
	has(t, f.page("/dead"), `<select name="chain"`, "<option>other</option>")
	code, body := f.post("/dead", "do", "replay", "chain", "none")
	if code != http.StatusBadRequest || !strings.Contains(body, "no chain &#34;none&#34;") || f.letters() != 3 {
		t.Errorf("by a chain that there is not: %d, %d letters left\n%s", code, f.letters(), body)
	}
	_, body = f.post("/dead", "do", "replay", "chain", "other", "of", batchID, "job", string(jobs.NewID(batchID, "a.txt")))
	has(t, body, "1 dead letter replayed by the chain other")
	_, body = f.post("/dead", "do", "replay", "chain", "other")
	has(t, body, "2 dead letters replayed by the chain other")
	b, err := f.servers.Queue.Batch(t.Context(), batchID)
	f.must(err)
	if !b.Knows("other") || f.letters() != 0 {
		t.Errorf("%d letters left of %+v", f.letters(), b)
	}
	f.kill(3)
	has(t, f.page("/dead"), "It was asked by the chain other, and not by that of its batch.")
}

func TestOtherSitesChangeNothing(t *testing.T) {
	f := newFleet(t, Config{})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+"/batches/"+batchID, strings.NewReader("do=cancel"))
	f.must(err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if code, _ := f.do(r, nil); code != http.StatusForbidden || f.state() != jobs.Live {
		t.Errorf("%d, and the batch is %s", code, f.state())
	}
}

func TestLinksOfOtherSitesPutNoWordsOnThePage(t *testing.T) {
	f := newFleet(t, Config{})
	const link = "/?told=send+your+key+to+acme"
	has(t, f.page(link), "send your key")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+link, nil)
	f.must(err)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	_, body := f.do(r, nil)
	lacks(t, body, "send your key")
}

func TestNamesThatLeadHereFromElsewhereAreRefused(t *testing.T) {
	f := newFleet(t, Config{})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url, nil)
	f.must(err)
	r.Host = "attacker.example:8090"
	if code, body := f.do(r, nil); code != http.StatusForbidden || strings.Contains(body, "acme") {
		t.Errorf("%d %s", code, body)
	}
}

func TestTokenIsAskedFor(t *testing.T) {
	f := newFleet(t, Config{Token: jobs.NewSecret("a token of some length")})
	for password, want := range map[string]int{"": 401, "another": 401, "a token of some length": 200} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/live.js", nil)
		f.must(err)
		r.Host = "drover.example" // names do not matter then
		if password != "" {
			r.SetBasicAuth("anybody", password)
		}
		if code, _ := f.do(r, nil); code != want {
			t.Errorf("with %q: %d, want %d", password, code, want)
		}
	}
}

func TestReadOnlyBoardChangesNothing(t *testing.T) {
	f := newFleet(t, Config{ReadOnly: true})
	f.kill(1)
	for _, path := range []string{"/batches/" + batchID, "/dead", "/budgets"} {
		if code, _ := f.post(path, "do", "cancel"); code < 400 {
			t.Errorf("%s: %d", path, code)
		}
	}
	for _, path := range []string{"/", "/batches/" + batchID, "/dead"} {
		lacks(t, f.page(path), `method="post"`)
	}
	if f.state() != jobs.Live {
		t.Errorf("the batch is %s", f.state())
	}
}

func TestLivePagesBringWhatHasChanged(t *testing.T) {
	f := newFleet(t, Config{})
	for _, path := range []string{"/live/overview", "/live/batches/" + batchID} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+path, nil)
		f.must(err)
		resp, err := http.DefaultClient.Do(r)
		f.must(err)
		if kind := resp.Header.Get("Content-Type"); kind != "text/event-stream" {
			t.Errorf("%s is %s", path, kind)
		}
		events := bufio.NewScanner(resp.Body)
		await(t, events, "state live")
		f.post("/batches/"+batchID, "do", "pause")
		await(t, events, "state paused")
		f.post("/batches/"+batchID, "do", "resume")
		_ = resp.Body.Close()
	}
}

// await reads lines of events until one has the text.
func await(t *testing.T, events *bufio.Scanner, text string) {
	t.Helper()
	for events.Scan() {
		line := events.Text()
		if line != "" && !strings.HasPrefix(line, "data: ") {
			t.Fatalf("not a line of an event: %q", line)
		}
		if strings.Contains(line, text) {
			return
		}
	}
	t.Fatalf("nothing more comes, and never %s: %v", text, events.Err())
}

func TestServersThatAreAwayAreTold(t *testing.T) {
	f := newFleet(t, Config{})
	f.page("/")
	f.servers.NATS.Close()
	if code, body := f.post("/batches/"+batchID, "do", "pause"); code != http.StatusBadGateway || !strings.Contains(body, "That did not work") {
		t.Errorf("%d %s", code, body)
	}
	has(t, f.page("/"), "Not all of it can be seen.", batchID)
}

func TestBatchThatIsRemovedMeanwhileHidesNoOthers(t *testing.T) {
	f := newFleet(t, Config{})
	b, err := f.servers.Queue.Batch(t.Context(), batchID)
	f.must(err)
	l := looks{servers: f.servers, batches: map[string]*known{}}
	views, err := l.standings(t.Context(), []*jobs.Batch{{ID: "gone"}, b}, time.Now())
	if err != nil || len(views) != 1 || views[0].Batch != b {
		t.Errorf("%v, %v", views, err)
	}
}

func TestManyBatchesThatAreOverAreNotAllShown(t *testing.T) {
	f := newFleet(t, Config{})
	for i := range 25 {
		id := fmt.Sprint("old-", i)
		_, err := f.servers.Queue.Enqueue(t.Context(), &jobs.Batch{ID: id, Name: id, Tenant: "acme", Chain: "default"})
		f.must(err)
		_, err = f.servers.Queue.Cancel(t.Context(), id)
		f.must(err)
	}
	has(t, f.page("/"), "5 older batches are not shown", "old-24", batchID)
	lacks(t, f.page("/"), "old-4<")
	has(t, f.page("/batches/old-4"), "state cancelled") // looked at when it is asked for
}
