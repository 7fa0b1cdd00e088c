package wire

import (
	"fmt"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/racing"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
	"github.com/drover-batch/drover/resilience"
)

// submitSame enqueues n documents of which only some are different.
func (w *world) submitSame(b jobs.Batch, n, different int) {
	w.Helper()
	b.Name, b.Tenant, b.Chain = b.ID, "acme", "default"
	wr, err := w.client.Queue.Enqueue(w.ctx, &b)
	w.must(err)
	for i := range n {
		id := fmt.Sprint(i)
		text := fmt.Sprintf("# Paper\n\n@%s/%d@ The parties agree.", b.ID, i%different)
		if b.Dedupe == jobs.DedupeTenant {
			text = fmt.Sprintf("# Paper\n\n@first/%d@ The parties agree.", i%different)
		}
		w.must(wr.Add(w.ctx, id, jobs.Document{Source: "rows.csv:" + id, Body: []byte(text)}))
		w.accepted[b.ID] = append(w.accepted[b.ID], id)
	}
	w.must(wr.Close(w.ctx))
}

// booked is what outcomes and waste say that a batch has cost, once all that
// died with a worker has lapsed.
func (w *world) booked(batch string) jobs.USD {
	time.Sleep(2 * w.config.Worker.Lease)
	var sum jobs.USD
	for _, o := range w.outcomes(batch) {
		sum += o.Cost
	}
	for _, attempts := range w.wastes(batch, true) {
		for _, a := range attempts {
			sum += a.Cost
		}
	}
	return sum
}

// sameText is a world of documents that are alike.
var sameText = scene{provider: second.provider, alike: true}

func TestIdenticalRequestsArePaidForOnce(t *testing.T) {
	s := scene{provider: simulator.Config{Latency: 5 * time.Second}, alike: true}
	for name, kill := range map[string]bool{"nothing happens": false, "a worker is killed": true} {
		t.Run(name, func(t *testing.T) {
			if racing.On && !kill {
				t.Skip("the other world goes the same ways until the kill")
			}
			inWorld(t, s, func(w *world) {
				w.submitSame(jobs.Batch{ID: "first", Dedupe: jobs.DedupeBatch, Budget: jobs.Dollar}, 100, 10)
				w.start("a", "b", "c")
				flying := 0
				if kill {
					w.wait(func() bool { return w.provider.sent() >= 5 })
					time.Sleep(time.Second)
					for _, s := range w.provider.calls {
						if s.worker == "a" {
							flying++
						}
					}
					w.kill("a")
				}
				w.untilOver("first")
				w.answered("first")
				if w.paid() != 10+flying {
					w.Errorf("%d calls were paid for 10 different documents, of which %d died with their worker", w.paid(), flying)
				}
				if book, sum := w.booked("first"), w.spent("first"); sum.Spent != book || sum.Held != 0 {
					w.Errorf("the account says %+v and the book has %s", sum, book)
				}
				own := w.count("first", func(o *jobs.Outcome) bool { return o.SameAs == nil })
				if own != 10 {
					w.Errorf("%d jobs have an answer of their own", own)
				}
				for id, o := range w.outcomes("first") {
					if o.SameAs != nil && (o.Cost != 0 || len(o.Attempts) > 0 || o.Degraded != "" || o.Answer == "") {
						w.Errorf("%s is %+v", id, o)
					}
				}
			})
		})
	}
}

func TestIdenticalRequestsOfOtherBatchesIfAllowed(t *testing.T) {
	inWorld(t, sameText, func(w *world) {
		w.submitSame(jobs.Batch{ID: "first", Dedupe: jobs.DedupeTenant}, 5, 5)
		w.start("a")
		w.untilOver("first")
		w.submitSame(jobs.Batch{ID: "again", Dedupe: jobs.DedupeTenant}, 10, 5)
		w.untilOver("again")
		w.answered("again")
		if w.paid() != 5 {
			w.Errorf("%d calls were paid for", w.paid())
		}
		if o := w.outcomes("again")["7"]; o.SameAs == nil || o.SameAs.Batch != "first" || o.SameAs.CustomID != "2" {
			w.Errorf("the answer is the same as %+v", o.SameAs)
		}
		w.submitSame(jobs.Batch{ID: "apart", Dedupe: jobs.DedupeBatch}, 4, 2)
		w.submitSame(jobs.Batch{ID: "each", Dedupe: jobs.DedupeOff}, 4, 2)
		w.untilOver("apart")
		w.untilOver("each")
		if w.paid() != 5+2+4 {
			w.Errorf("%d calls were paid for, want 11", w.paid())
		}
	})
}

func TestRequestThatTakesLongerThanALeaseIsPaidForOnce(t *testing.T) {
	long := func(c *config.Config) { setTimeout(c, 5*time.Minute) }
	inWorld(t, scene{provider: simulator.Config{Latency: 2 * time.Minute}, tune: long, alike: true}, func(w *world) {
		w.submitSame(jobs.Batch{ID: "first", Dedupe: jobs.DedupeBatch}, 2, 1)
		w.start("a", "b")
		w.untilOver("first")
		w.answered("first")
		if w.paid() != 1 {
			w.Errorf("%d calls were paid for", w.paid())
		}
	})
}

func TestRequestsAreTheSameWithinTheirBatchOrTenantAndOfTheSameModels(t *testing.T) {
	t.Parallel()
	links := func(m jobs.Model) *resilience.Chain { return &resilience.Chain{Links: []resilience.Link{{Model: &m}}} }
	w := &Worker{chains: map[string]*resilience.Chain{
		"one": links(jobs.Model{Name: "small", BaseURL: "http://127.0.0.1:1"}), "other": links(jobs.Model{Name: "small", BaseURL: "http://127.0.0.1:2"}),
	}}
	key := func(batch, chain string, d jobs.Dedupe) string {
		b := &jobs.Batch{ID: batch, Tenant: "acme", Chain: chain, Dedupe: d}
		return w.sameKey(b, &jobs.Request{Messages: []jobs.Message{{Role: jobs.User, Text: "is it?"}}})
	}
	if key("a", "one", jobs.DedupeBatch) == key("b", "one", jobs.DedupeBatch) {
		t.Error("of two batches, each of which is for itself")
	}
	if key("a", "one", jobs.DedupeTenant) != key("b", "one", jobs.DedupeTenant) {
		t.Error("of two batches of a tenant they are different")
	}
	if key("a", "one", jobs.DedupeTenant) == key("a", "other", jobs.DedupeTenant) {
		t.Error("of different models")
	}
}

func TestFailureOfOneIsNotTheOthers(t *testing.T) {
	inWorld(t, sameText, func(w *world) {
		w.must(w.provider.SetFaults(simulator.Odds{"refuse": 1}, nil))
		w.submitSame(jobs.Batch{ID: "first", Dedupe: jobs.DedupeBatch}, 2, 1)
		w.start("a")
		w.wait(func() bool { return w.progress("first").Done() == 1 })
		w.must(w.provider.SetFaults(nil, nil))
		w.untilOver("first")
		dead := w.count("first", func(o *jobs.Outcome) bool { return o.Status == jobs.Dead })
		if dead != 1 {
			w.Errorf("%d of 2 jobs are dead", dead)
		}
	})
}
