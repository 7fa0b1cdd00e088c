package budget

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
)

// plain is the ledger without Redis, holds or rebuilding: the calls, and what
// follows from them.
type plain struct {
	limits map[string]jobs.USD
	calls  map[string]*fate
}

type fate struct {
	*jobs.Call
	state   string // live, dead or left
	billing jobs.Billing
	cost    jobs.USD // of one that left
}

func accountNames(c *jobs.Call) []string {
	names := []string{BatchAccount(c.Batch)}
	if c.Tenant == "acme" {
		names = append(names, "budget:acme")
	}
	if c.Model == large {
		names = append(names, "budget:large")
	}
	return names
}

func (p *plain) sums() map[string]Sum {
	sums := map[string]Sum{}
	for _, f := range p.calls {
		for _, name := range accountNames(f.Call) {
			s := sums[name]
			switch {
			case f.state == "live":
				s.Held += f.Worst
			case f.state == "dead":
				s.Spent += f.Worst
				s.Presumed += f.Worst
			case f.billing == jobs.Presumed:
				s.Spent += f.cost
				s.Ambiguous += f.cost
			default:
				s.Spent += f.cost
			}
			sums[name] = s
		}
	}
	return sums
}

// verdict is what should become of the call: admitted, claimed, wait or final.
func (p *plain) verdict(c *jobs.Call) string {
	for _, f := range p.calls {
		if f.state == "live" && f.Job == c.Job {
			return "claimed"
		}
	}
	verdict := "admitted"
	sums := p.sums()
	for _, name := range accountNames(c) {
		s, limit := sums[name], p.limits[name]
		switch {
		case limit == 0 || s.Spent+s.Held+c.Worst <= limit:
		case c.Worst > limit || s.Held == 0:
			return "final"
		default:
			verdict = "wait"
		}
	}
	return verdict
}

func (p *plain) in(state string) []string {
	return slices.Sorted(maps.Keys(maps.Collect(func(yield func(string, bool) bool) {
		for id, f := range p.calls {
			if f.state == state && !yield(id, true) {
				return
			}
		}
	})))
}

func verdictOf(r lua.Reply) string {
	switch {
	case !r.Refused:
		return "admitted"
	case r.Tag == "claimed":
		return "claimed"
	case r.Final:
		return "final"
	}
	return "wait"
}

func TestLedgerAgreesWithAPlainModelOfItself(t *testing.T) {
	t.Parallel()
	c := Config{Budgets: []Budget{{Tenant: "acme", Limit: 150}, {Model: "large", Limit: 100}}}
	onEach(t, c, func(t *testing.T, s *store) {
		rapid.Check(t, func(rt *rapid.T) {
			s.flushes(rt)
			s.rebuilds(rt, bookOf())
			w := &walk{rt, s, &plain{map[string]jobs.USD{"batch:tight": 80, "budget:acme": 150, "budget:large": 100}, map[string]*fate{}}}
			rt.Repeat(map[string]func(*rapid.T){
				"": w.compare, "enter": w.enter, "repeat": w.repeat, "leave": w.leave, "die": w.die,
				"come back": w.comeBack, "flush": w.flush, "shut": w.shut,
			})
		})
	})
}

// walk takes the ledger and its model along the same steps.
type walk struct {
	*rapid.T
	store *store
	model *plain
}

func (w *walk) compare(t *rapid.T) {
	got := map[string]Sum{}
	for _, s := range w.store.all(t) {
		if s.Spent+s.Held > 0 {
			got[s.Account] = Sum{Spent: s.Spent, Held: s.Held, Presumed: s.Presumed, Ambiguous: s.Ambiguous}
		}
		if limit := w.model.limits[s.Account]; limit > 0 && s.Spent+s.Held > limit {
			t.Fatalf("overdrawn: %+v", s)
		}
	}
	want := w.model.sums()
	maps.DeleteFunc(want, func(_ string, s Sum) bool { return s.Spent+s.Held == 0 })
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
}

func (w *walk) enter(t *rapid.T) {
	c := &jobs.Call{
		ID:     fmt.Sprint("call", len(w.model.calls)),
		Job:    jobs.ID(rapid.SampledFrom([]string{"j1", "j2", "j3", "j4", "j5"}).Draw(t, "job")),
		Batch:  rapid.SampledFrom([]string{"tight", "free"}).Draw(t, "batch"),
		Tenant: rapid.SampledFrom([]string{"acme", "other"}).Draw(t, "tenant"),
		Model:  rapid.SampledFrom([]*jobs.Model{small, large}).Draw(t, "model"),
		Worst:  jobs.USD(rapid.Int64Range(0, 110).Draw(t, "worst")),
	}
	if c.Batch == "tight" {
		c.Limit = 80
	}
	want := w.model.verdict(c)
	if got := w.store.enters(t, c); verdictOf(got) != want {
		t.Fatalf("%+v: got %+v, want %s", c, got, want)
	}
	if want == "admitted" {
		w.model.calls[c.ID] = &fate{Call: c, state: "live"}
	}
}

func (w *walk) pick(t *rapid.T, state string) *fate {
	ids := w.model.in(state)
	if len(ids) == 0 {
		t.Skip("none is " + state)
	}
	return w.model.calls[rapid.SampledFrom(ids).Draw(t, state)]
}

// repeat asks again what was answered before.
func (w *walk) repeat(t *rapid.T) {
	f := w.pick(t, rapid.SampledFrom([]string{"live", "left"}).Draw(t, "state"))
	if r := w.store.enters(t, f.Call); r.Refused {
		t.Fatalf("%s again: %+v", f.ID, r)
	}
	if f.state == "left" {
		if r := w.store.leaves(t, f.Call, jobs.Billed, 1); !r.Left {
			t.Fatalf("%s left again: %+v", f.ID, r)
		}
	}
}

func (w *walk) settle(t *rapid.T, f *fate) {
	f.billing = rapid.SampledFrom([]jobs.Billing{jobs.Billed, jobs.Presumed, jobs.Free}).Draw(t, "billing")
	cost := rapid.Int64Range(0, int64(f.Worst)).Draw(t, "cost")
	w.store.leaves(t, f.Call, f.billing, jobs.USD(cost))
	f.cost, _ = settled(f.billing, jobs.USD(cost), f.Worst)
	f.state = "left"
}

func (w *walk) leave(t *rapid.T)    { w.settle(t, w.pick(t, "live")) }
func (w *walk) comeBack(t *rapid.T) { w.settle(t, w.pick(t, "dead")) }

func (w *walk) die(t *rapid.T) {
	f := w.pick(t, "live")
	w.store.dies(t, f.Call)
	f.state = "dead"
}

func (w *walk) book() []jobs.Spend {
	var book []jobs.Spend
	for _, id := range w.model.in("left") {
		f := w.model.calls[id]
		book = append(book, spendOf(f.Call, w.store.now(), f.cost, f.billing))
	}
	return book
}

// flush loses everything. The calls of the dead are in the book by then; those
// in flight are on record. Some of these report themselves, too.
func (w *walk) flush(t *rapid.T) {
	w.store.flushes(t)
	for _, id := range w.model.in("dead") {
		f := w.model.calls[id]
		f.state, f.billing, f.cost = "left", jobs.Presumed, f.Worst
	}
	var inFlight []jobs.Spend
	for _, id := range w.model.in("live") {
		f := w.model.calls[id]
		inFlight = append(inFlight, spendOf(f.Call, w.store.now(), f.Worst, jobs.Presumed))
	}
	w.store.restores(t, bookOf(w.book()...), inFlight...)
	for _, id := range w.model.in("live") {
		if rapid.Bool().Draw(t, "reports") {
			w.store.resumes(t, w.model.calls[id].Call)
		}
	}
}

// shut loses the epoch; of the calls in flight, some are in the book already.
func (w *walk) shut(t *rapid.T) {
	w.store.shuts(t)
	for _, state := range []string{"live", "dead"} {
		for _, id := range w.model.in(state) {
			f := w.model.calls[id]
			if rapid.Bool().Draw(t, "stored") {
				f.state, f.billing, f.cost = "left", jobs.Billed, f.Worst/2
			}
		}
	}
	w.store.rebuilds(t, bookOf(w.book()...))
}
