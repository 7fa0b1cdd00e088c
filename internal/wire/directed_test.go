package wire

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
	"github.com/drover-batch/drover/pool"
	"github.com/drover-batch/drover/resilience"
)

// unrenewed has no renewal of a lease reach the broker until it is over.
func unrenewed(over *atomic.Bool) changing {
	return func(*world) change {
		return change{says: func(_ *link, p []byte) []byte {
			for at := 0; !over.Load(); {
				i := bytes.Index(p[at:], []byte("\r\n+WPI\r\n"))
				if i < 0 {
					break
				}
				at += i + len("\r\n")
				if to := bytes.LastIndex(p[:at], []byte(" $JS.ACK.")); to >= 0 {
					p[to+2] = 'X' // where nobody listens
				}
			}
			return p
		}}
	}
}

// punctual has the answers of the first calls arrive at a time relative to the
// end of the first leases.
func punctual(after time.Duration, over *atomic.Bool) changing {
	return func(*world) change {
		var end atomic.Int64
		return change{worker: func(m *member) {
			m.lendAs(func(d jobs.Delivery) jobs.Delivery {
				end.CompareAndSwap(0, d.Expires().UnixNano())
				return d
			})
			for _, chain := range m.worker.chains {
				for i, link := range chain.Links {
					chain.Links[i].Asker = &patient{link.Asker, func() time.Duration {
						if over.Load() {
							return 0
						}
						return time.Until(time.Unix(0, end.Load())) + after
					}}
				}
			}
		}}
	}
}

// patient is a client of a model that comes back with its answer later.
type patient struct {
	resilience.Asker
	wait func() time.Duration
}

func (p *patient) Ask(ctx context.Context, r *jobs.Request, output int) (*jobs.Answer, error) {
	answer, err := p.Asker.Ask(ctx, r, output)
	select {
	case <-time.After(p.wait()):
		return answer, err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func TestAnswerThatComesAsTheLeaseEndsIsTheOutcomeOrOnRecord(t *testing.T) {
	for _, after := range []time.Duration{-time.Millisecond, 0, time.Millisecond, time.Second} {
		t.Run(fmt.Sprint("by ", after), func(t *testing.T) {
			var over atomic.Bool
			s := scene{provider: second.provider, changes: []changing{unrenewed(&over), punctual(after, &over)}}
			s.tune = func(c *config.Config) { c.Chains["default"] = chain("large") } // which has a minute for its answer
			inWorld(t, s, func(w *world) {
				w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollars(5)}, short(8)...)
				began := time.Now()
				w.start("a", "b")
				time.Sleep(w.config.Worker.Lease + after + 2*time.Millisecond)
				over.Store(true)
				w.note(audit.Fault{Kind: audit.Network, From: began, To: time.Now()})
				answered := len(w.outcomes("contracts"))
				if after < 0 && answered != 8 { // later, the call may be cut short, or its answer stored all the same
					t.Errorf("%d of 8 were answered when the answers came %v after their leases ended", answered, after)
				}
				w.untilOver("contracts")
				w.answered("contracts")
				t.Logf("%d of 8 were answered as their leases ended, %d calls were paid for", answered, w.paid())
				if extra := w.paid() - 8; after < 0 && extra != 0 || extra > 8 {
					t.Errorf("paid for %d calls of 8 jobs, %d of them answered in time", w.paid(), answered)
				}
			})
		})
	}
}

func TestOwnRetryOfAnOutcomeIsNoWasteAndNoSecondPayment(t *testing.T) {
	inWorld(t, scene{provider: second.provider, changes: []changing{unconfirmed(5)}}, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollar}, short(20)...)
		w.start("a", "b")
		took := w.untilOver("contracts")
		w.answered("contracts")
		w.paysOnce(20)
		if took < 10*time.Second {
			t.Errorf("over after %v: no reply was lost", took)
		}
		if n := len(w.wastes("contracts", false)) + len(w.wastes("contracts", true)); n > 0 {
			t.Errorf("waste of %d jobs is on record", n)
		}
	})
}

func TestHungCallEndsAtItsTimeout(t *testing.T) {
	inWorld(t, second, func(w *world) {
		w.must(w.provider.SetFaults(nil, []simulator.Outage{{Model: "small", For: time.Second, Fault: simulator.Hang}}))
		w.submit(jobs.Batch{ID: "contracts"}, short(8)...)
		w.start("a")
		w.untilOver("contracts")
		w.answered("contracts")
		for id, o := range w.outcomes("contracts") {
			a := o.Attempts[0]
			if a.Kind != jobs.Timeout || a.Took != 20*time.Second || a.Billing != jobs.Presumed || a.Cost == 0 {
				t.Errorf("%s: its first attempt is %+v", id, a)
			}
		}
	})
}

func TestSuspectedJobRunsAloneAndItsNeighboursAreNotBlamed(t *testing.T) {
	inWorld(t, four, func(w *world) {
		docs := short(60)
		docs[5] = "This one is poison."
		w.submit(jobs.Batch{ID: "contracts"}, docs...)
		flying := map[string]map[string]bool{} // what each worker is calling for
		deaths := 0
		w.provider.onEach(func(s sent) {
			w.mu.Lock()
			defer w.mu.Unlock()
			others := 0
			for _, e := range w.everyone {
				if e.name != s.worker || !e.died.IsZero() {
					continue
				}
				for range flying[s.worker] {
					others++
				}
			}
			if flying[s.worker] == nil {
				flying[s.worker] = map[string]bool{}
			}
			flying[s.worker][s.job] = true
			time.AfterFunc(4*time.Second, func() {
				w.mu.Lock()
				defer w.mu.Unlock()
				delete(flying[s.worker], s.job)
			})
			if s.job != "contracts/5" {
				return
			}
			if deaths++; deaths > 3 && others > 0 {
				t.Errorf("at its delivery %d it runs beside %d others", deaths, others)
			}
			go w.kill(s.worker)
		})
		w.start("a", "b")
		for n := 0; !w.progress("contracts").Over(); n++ {
			time.Sleep(time.Second)
			for _, name := range []string{"a", "b"} { // as a supervisor does
				if w.names()[name] == nil {
					w.start(name)
				}
			}
			if n > 1000 {
				t.Fatal("it never ends")
			}
		}
		for id, o := range w.outcomes("contracts") {
			if id == "5" {
				if o.Status != jobs.Dead || o.Kind != jobs.Poison {
					t.Errorf("the poison is %s: %s", o.Status, o.Reason)
				}
			} else if o.Status != jobs.Answered || o.Degraded != "" {
				t.Errorf("its neighbour %s is %s, %q: %s", id, o.Status, o.Degraded, o.Reason)
			}
		}
		if deaths != 5 {
			t.Errorf("it was buried after %d deaths, not 5", deaths)
		}
		t.Logf("%d calls were paid for 60 jobs", w.paid())
	})
}

func TestHungJobIsTakenOverAndHarmsNobody(t *testing.T) {
	var free chan struct{}
	hanging := func(w *world) change {
		free = make(chan struct{})
		var hung atomic.Bool // whoever gets it next, which may be the same worker, is lucky
		return change{worker: func(m *member) {
			m.worker.Pool.Longest = 5 * time.Minute
			handle := m.worker.Pool.Handle
			m.worker.Pool.Handle = func(ctx context.Context, d jobs.Delivery, slot *pool.Slot) jobs.Decision {
				if m.name == "a" && d.Job().CustomID == "3" && hung.CompareAndSwap(false, true) {
					<-free // and not ctx.Done
				}
				return handle(ctx, d, slot)
			}
		}}
	}
	inWorld(t, scene{provider: second.provider, changes: []changing{hanging}}, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(8)...)
		w.start("a")
		time.Sleep(10 * time.Second)
		w.start("b")
		if took := w.untilOver("contracts"); took > 6*time.Minute {
			t.Errorf("its job was taken over after %v", took)
		}
		w.answered("contracts")
		close(free)
		time.Sleep(10 * time.Second)
		w.paysOnce(8)
	})
}
