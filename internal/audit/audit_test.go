package audit

import (
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
	"github.com/drover-batch/drover/queue"
)

var noon = time.Date(2025, 11, 25, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

// Every answer costs a hundred millionths.
const price = jobs.USD(100)

// clean is the evidence of a batch of two jobs, each answered a second after
// it was asked for by a worker of its own, and of nothing gone wrong.
func clean() *Evidence {
	e := &Evidence{
		Batches:     []Batch{{ID: "one", Tenant: "acme", Accepted: []string{"x", "y"}}},
		Rest:        map[string]Rest{"one": {Total: 2}},
		Sums:        []budget.Sum{{Account: "batch:one", Limit: 1000, Spent: 200}, {Account: "budget:acme", Limit: 1000, Spent: 200}},
		Budgets:     []budget.Budget{{Name: "acme", Tenant: "acme"}, {Name: "other", Tenant: "other"}},
		Prices:      map[string]jobs.Price{"small": {Input: jobs.Dollar}},
		Quotas:      []Quota{{Name: "small", Models: []string{"small"}, Requests: 60, Burst: 2}},
		Secrets:     []string{"sk-canary"},
		Confidences: []string{"the parties"},
		Texts:       []Text{{"the log of a", "it works"}},
	}
	e.call("a", "x", 1)
	e.call("b", "y", 2)
	e.answer("x", 2, "sim-1")
	e.answer("y", 3, "sim-2")
	return e
}

// call has a worker make a call that is paid for.
func (e *Evidence) call(worker, id string, when float64) *simulator.Entry {
	n := uint64(len(e.Ledger) + 1)
	e.Sent = append(e.Sent, Sent{At: at(when), Worker: worker, Job: Job{"one", id}, Prompt: "asks " + id})
	e.Ledger = append(e.Ledger, simulator.Entry{
		Seq: n, ID: "sim-" + string(rune('0'+n)), Model: "small", At: at(when), Prompt: "asks " + id,
		Input: int64(price), Status: 200, Billed: true, Delivered: true,
	})
	return &e.Ledger[n-1]
}

func attempt(call string, when float64) jobs.Attempt {
	return jobs.Attempt{Call: call, Run: 1, Model: "small", Started: at(when), Took: time.Second, RequestID: "req-" + call, Billing: jobs.Billed, Cost: price}
}

// answer stores an outcome with the calls that led to it.
func (e *Evidence) answer(id string, when float64, calls ...string) *Outcome {
	o := &jobs.Outcome{Job: jobs.NewID("one", id), Batch: "one", CustomID: id, Tenant: "acme", Run: 1, Status: jobs.Answered, Answer: "It is about the parties.", Finished: at(when)}
	for _, c := range calls {
		o.Attempts = append(o.Attempts, attempt(c, when-1))
	}
	e.Outcomes = append(e.Outcomes, Outcome{o, at(when), uint64(len(e.Outcomes) + 1)})
	return &e.Outcomes[len(e.Outcomes)-1]
}

// waste puts on record what led to nothing.
func (e *Evidence) waste(id, reason string, lapsed bool, a jobs.Attempt) {
	e.Wastes = append(e.Wastes, &queue.Waste{Job: jobs.NewID("one", id), Batch: "one", Reason: reason, At: at(9), Lapsed: lapsed, Attempts: []jobs.Attempt{a}})
}

func (e *Evidence) fault(kind Kind, worker string, from, to float64) {
	e.Faults = append(e.Faults, Fault{Kind: kind, Worker: worker, From: at(from), To: at(to)})
}

// spend moves what both accounts know of.
func (e *Evidence) spend(u jobs.USD) { e.Sums[0].Spent, e.Sums[1].Spent = u, u }

// again has a call for x before the one that was answered, both accounted for.
func (e *Evidence) again(a jobs.Attempt) {
	e.call("b", "x", 0.5)
	a.Call, a.RequestID, a.Started = "earlier", "req-sim-3", at(0.4)
	e.waste("x", "nobody waited", false, a)
	e.spend(300)
}

func TestCleanEvidenceIsNotObjectedTo(t *testing.T) {
	t.Parallel()
	a := Examine(clean())
	for _, o := range a.Objections {
		t.Error(o)
	}
	if f := a.Figures; f.Accepted != 2 || f.Outcomes != 2 || f.Paid != 2 || f.Needed != 2 || len(f.Extra) != 0 || f.Recovery != 0 {
		t.Errorf("the figures are %+v", f)
	}
	if acme := a.Figures.Accounts[1]; acme != (Account{Name: "budget:acme", Limit: 1000, Billed: 200, Recorded: 200, Booked: 200}) {
		t.Errorf("the tenant's account is %+v", acme)
	}
}

func TestWhatIsWrongIsObjectedTo(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		want  string // of the objection; the job's name first, if it is about one
		spoil func(e *Evidence)
	}{
		{"one/x has no outcome", func(e *Evidence) { e.Outcomes = e.Outcomes[1:] }},
		{"one/x has two outcomes of run 1", func(e *Evidence) { e.answer("x", 2) }},
		{"one/z has an outcome, but was never accepted", func(e *Evidence) { e.answer("z", 2) }},
		{"one/x is dead and has no dead letter", func(e *Evidence) { e.Outcomes[0].Status = jobs.Dead }},
		{"one/x is answered and has a dead letter", func(e *Evidence) {
			e.Letters = append(e.Letters, &jobs.DeadLetter{Job: &jobs.Job{Batch: "one", CustomID: "x"}})
		}},
		{"with 1 jobs queued", func(e *Evidence) { e.Rest["one"] = Rest{Total: 2, Queued: 1} }},
		{"and 1 unacknowledged", func(e *Evidence) { e.Rest["one"] = Rest{Total: 2, Unacknowledged: 1} }},
		{"batch one has 3 jobs, and 2 were accepted", func(e *Evidence) { e.Rest["one"] = Rest{Total: 3} }},
		{"batch:one still holds $0.00005", func(e *Evidence) { e.Sums[0].Held = 50 }},
		{"was paid for, and nobody sent it", func(e *Evidence) { e.Sent = e.Sent[1:] }},
		{"one/x call sim-1 by a at 12:00:01.000 was paid for and is not on record", func(e *Evidence) {
			e.Outcomes[0].Attempts = nil
		}},
		{"paid for and is not on record", func(e *Evidence) { // it went on record before its worker was killed
			e.Outcomes[0].Attempts = nil
			e.fault(Kill, "a", 1.5, 1.5)
		}},
		{"paid for and is not on record", func(e *Evidence) { // its worker lived, and forgot it
			e.Outcomes[0].Attempts = nil
			e.Unended = []jobs.Spend{{Call: "sim-1", Job: jobs.NewID("one", "x"), Model: "small", At: at(0.9), Cost: 150}}
		}},
		{"paid for and is not on record", func(e *Evidence) { // another call of the job did
			e.Outcomes[0].Attempts = nil
			e.Unended = []jobs.Spend{{Call: "later", Job: jobs.NewID("one", "x"), Model: "small", At: at(1.5), Cost: 150}}
		}},
		{"one/x call sim-1 did cost $0.0001 and is on record as $0.00009", func(e *Evidence) { e.Outcomes[0].Attempts[0].Cost = 90 }},
		{"one/y its call sim-1 is on record twice", func(e *Evidence) { e.waste("y", "late", false, attempt("sim-1", 1)) }},
		{"is on record as waste without a reason", func(e *Evidence) { e.waste("y", "", false, attempt("other", 1)) }},
		{"one/x was asked for again at 12:00:05.000, after its outcome", func(e *Evidence) {
			e.call("b", "x", 5)
			e.waste("x", "late", false, attempt("sim-3", 5))
		}},
		{"one/x was paid for twice", func(e *Evidence) { e.again(attempt("", 0)) }},
		{"one/x was paid for twice", func(e *Evidence) { // its worker was taken for dead, and nothing had befallen it
			e.call("b", "x", 0.5)
			e.fault(Kill, "a", 0.7, 0.7)
			e.waste("x", "its worker died", true, jobs.Attempt{Call: "earlier", Model: "small", Started: at(0.4), Cost: 150})
			e.spend(350)
		}},
		{"one/x was paid for twice", func(e *Evidence) { // the fault befell another
			e.again(attempt("", 0))
			e.fault(Kill, "a", 0.6, 0.6)
		}},
		{"one/x was paid for twice", func(e *Evidence) { // and this one was over
			e.again(attempt("", 0))
			e.fault(Broker, "", 0.1, 0.2)
		}},
		{"one/x was paid for twice", func(e *Evidence) { // a stop in good order wastes nothing
			e.again(attempt("", 0))
			e.fault(Stop, "b", 0.6, 0.7)
		}},
		{"one/x was paid for twice", func(e *Evidence) { // it is NATS that knows who has the job
			e.again(attempt("", 0))
			e.fault(Redis, "", 0.6, 0.7)
			e.fault(Flush, "", 0.7, 0.7)
		}},
		{"one/x was paid for twice", func(e *Evidence) { // the provider's faults are on record
			e.again(attempt("", 0))
			e.fault(Provider, "", 0.1, 3)
		}},
		{"batch:one has spent $0.0002 of $0.00015", func(e *Evidence) { e.Sums[0].Limit = 150 }},
		{"batch:one was billed $0.0002 of $0.00015", func(e *Evidence) { // Redis has forgotten the limit
			e.Batches[0].Limit, e.Sums[0].Limit = 150, 0
		}},
		{"budget:acme was billed $0.0002 of $0.00015", func(e *Evidence) { e.Sums[1].Limit = 150 }},
		{"batch:one was billed $0.0002 and knows of $0.0001", func(e *Evidence) { e.Sums[0].Spent = 100 }},
		{"batch:one was billed $0.0002 and knows of $0.00", func(e *Evidence) { e.Sums = e.Sums[1:] }},
		{"batch:one has $0.0002 in the book", func(e *Evidence) { e.Sums[0].Spent = 300 }},
		{"quota small of 60 requests a minute was exceeded at 12:00:01.000", func(e *Evidence) {
			for range 3 {
				e.call("a", "x", 1).Billed = false
			}
		}},
		{`the log of a gives away "sk-canary"`, func(e *Evidence) { e.Texts[0].Text += " with sk-canary" }},
		{`the log of a gives away "the parties"`, func(e *Evidence) { e.Texts[0].Text += " of the parties" }},
		{`one/x its outcome gives away "sk-canary"`, func(e *Evidence) { e.Outcomes[0].Answer = "sk-canary" }},
		{`one/x the errors of its outcome gives away "the parties"`, func(e *Evidence) { e.Outcomes[0].Attempts[0].Message = "the parties" }},
		{`one/x its dead letter gives away "sk-canary"`, func(e *Evidence) { e.bury("x", "sk-canary") }},
		{`one/x the errors of its dead letter gives away "the parties"`, func(e *Evidence) { e.bury("x", "the parties") }},
		{`one/x its waste gives away "the parties"`, func(e *Evidence) {
			e.again(attempt("", 0))
			e.Wastes[0].Reason = "the parties"
		}},
	} {
		e := clean()
		test.spoil(e)
		found := Examine(e)
		objected := false
		for _, o := range found.Objections {
			objected = objected || strings.Contains(o.String(), test.want)
		}
		if !objected {
			t.Errorf("want %q, got %v", test.want, found.Objections)
		}
	}
}

// bury makes a job dead, with a letter that says so in these words.
func (e *Evidence) bury(id, reason string) {
	for i := range e.Outcomes {
		if o := e.Outcomes[i].Outcome; o.CustomID == id {
			o.Status = jobs.Dead
			e.Letters = append(e.Letters, &jobs.DeadLetter{
				Job:     &jobs.Job{Batch: "one", CustomID: id, Document: jobs.Document{Body: []byte("the parties")}},
				Outcome: &jobs.Outcome{Reason: reason},
			})
		}
	}
}

func TestWhatHasAnExcuseIsNotObjectedTo(t *testing.T) {
	t.Parallel()
	useless := attempt("", 0)
	useless.Kind = jobs.InvalidAnswer
	timedOut := attempt("", 0)
	timedOut.Kind, timedOut.Billing = jobs.Timeout, jobs.Presumed
	cutShort := timedOut
	cutShort.Kind = jobs.Interrupted
	for _, test := range []struct {
		name, extra string // what a second payment is excused by
		happen      func(e *Evidence)
	}{
		{"a buried job", "", func(e *Evidence) { e.bury("x", "nobody could") }},
		{"a presumption that turned out otherwise", "", func(e *Evidence) {
			e.waste("x", "its worker died", true, jobs.Attempt{Call: "sim-1", Model: "small", Started: at(1), Cost: 900})
		}},
		{"a worker killed during its call", string(Kill), func(e *Evidence) {
			e.call("b", "x", 0.5)
			e.fault(Kill, "b", 0.7, 0.7)
			e.Unended = []jobs.Spend{{Call: "earlier", Job: jobs.NewID("one", "x"), Model: "small", At: at(0.4), Cost: 150}}
			e.spend(350)
		}},
		{"and what is presumed of it", string(Kill), func(e *Evidence) {
			e.call("b", "x", 0.5)
			e.fault(Kill, "b", 0.7, 0.7)
			e.waste("x", "its worker died", true, jobs.Attempt{Call: "earlier", Model: "small", Started: at(0.4), Cost: 150})
			e.spend(350)
		}},
		{"a call that is on record as begun and as ended", "", func(e *Evidence) {
			e.Unended = []jobs.Spend{{Call: "sim-1", Job: jobs.NewID("one", "x"), Model: "small", At: at(0.9), Cost: 150}}
		}},
		{"a worker frozen during its call", string(Freeze), func(e *Evidence) {
			e.again(attempt("", 0))
			e.fault(Freeze, "b", 0.6, 8)
		}},
		{"a call that thawed after the outcome", string(Freeze), func(e *Evidence) {
			e.fault(Freeze, "b", 1.5, 5)
			e.fault(Freeze, "a", 1.5, 1.6)
			e.call("b", "x", 5.001)
			e.waste("x", "late", false, attempt("sim-3", 5))
			e.spend(300)
		}},
		{"NATS away", string(Broker), func(e *Evidence) {
			e.again(attempt("", 0))
			e.fault(Broker, "", 0.6, 0.8)
		}},
		{"a timeout", "timeout, presumed paid", func(e *Evidence) { e.again(timedOut) }},
		{"a useless answer", "answer of no use", func(e *Evidence) { e.again(useless) }},
		{"a stop that outlasted its grace", string(Stop), func(e *Evidence) {
			e.again(cutShort)
			e.fault(Stop, "b", 0.6, 0.9)
		}},
		{"a call that arrived after it was given up", "timeout, presumed paid", func(e *Evidence) {
			e.call("b", "x", 1.9)
			late := timedOut
			late.Call, late.RequestID, late.Started, late.Took = "earlier", "", at(0.1), time.Second
			e.waste("x", "given up", false, late)
			e.fault(Network, "b", 0, 1.9)
			e.Ledger[2].At, e.Sent[2].At = at(0.9), at(0.9)
			e.spend(300)
		}},
		{"one that arrived after the call that followed it", "timeout, presumed paid", func(e *Evidence) {
			e.call("a", "x", 1.1)
			late := timedOut
			late.Call, late.RequestID, late.Started, late.Took = "earlier", "", at(0.1), 500*time.Millisecond
			e.waste("x", "given up", false, late)
			e.fault(Network, "a", 0, 1.05)
			e.spend(300)
		}},
		{"a replay", "", func(e *Evidence) {
			refused := attempt("", 0)
			refused.Kind = jobs.Refused
			e.again(refused)
			e.Outcomes[0].Run, e.Outcomes[0].Attempts[0].Run = 2, 2
		}},
		{"a burst after a flush", "", func(e *Evidence) {
			e.call("a", "x", 1).Billed = false
			e.call("a", "x", 1).Billed = false
			e.fault(Flush, "", 0.9, 0.9)
			e.call("a", "x", 0.1).Billed = false
			e.call("a", "x", 0.1).Billed = false
		}},
	} {
		e := clean()
		test.happen(e)
		found := Examine(e)
		for _, o := range found.Objections {
			t.Errorf("%s: %s\n%s", test.name, o, found.Story(o.Job))
		}
		switch n := found.Figures.Extra[test.extra]; {
		case test.extra != "" && n != 1, test.extra == "" && len(found.Figures.Extra) > 0:
			t.Errorf("%s: paid again are %v", test.name, found.Figures.Extra)
		}
	}
}

func TestStoryIsToldInOrder(t *testing.T) {
	t.Parallel()
	e := clean()
	e.fault(Kill, "b", 1.5, 1.5)
	story := Examine(e).Story(Job{"one", "x"})
	from := 0
	for _, want := range []string{"12:00:01.000 a calls", "the provider notes sim-1", "12:00:01.500 worker killed (b)", "12:00:02.000 run 1 ends", "the broker stores the outcome"} {
		i := strings.Index(story[from:], want)
		if i < 0 {
			t.Fatalf("%q is not in its place in %s", want, story)
		}
		from += i
	}
	if strings.Contains(story, "sim-2") {
		t.Errorf("it tells of another job: %s", story)
	}
}

func TestRecoveryCountsFromTheLastFault(t *testing.T) {
	t.Parallel()
	e := clean()
	e.fault(Freeze, "b", 0.5, 2.25)
	if got := Examine(e).Figures.Recovery; got != 750*time.Millisecond {
		t.Errorf("the last outcome was stored %v after the last fault", got)
	}
}
