package resilience

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// window is a stand-in for the fleet's limiter: it admits a call every gap.
type window struct {
	gap time.Duration

	mu   sync.Mutex
	next time.Time
	asks int
}

func (w *window) ask() (Pass, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asks++
	now := time.Now()
	if wait := w.next.Sub(now); wait > 0 {
		return Pass{Refusal: &Refusal{Guard: LimiterGuard, Wait: wait}}, nil
	}
	w.next = now.Add(w.gap)
	return Pass{}, nil
}

func (w *window) answer(heard func(Pass, error)) pending {
	pass, err := w.ask()
	return at(heard, pass, err)
}

// one is a call for a job of that name, under an id of its own.
func one(job string) *jobs.Call {
	return &jobs.Call{ID: rand.Text(), Job: jobs.ID(job), Batch: "contracts", Tenant: "acme"}
}

// at is an answer that is there at once.
func at(heard func(Pass, error), pass Pass, err error) pending {
	return func() (Pass, error) {
		heard(pass, err)
		return pass, err
	}
}

// queueUp sends n calls into the line one after the other and returns in which
// order they were admitted, and the refusals.
func queueUp(l *line, n int, ask func() (Pass, error)) (order []int, refused []*Refusal) {
	var mu sync.Mutex
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() {
			pass, _ := l.enter(context.Background(), one(fmt.Sprint(i)), 0, func(heard func(Pass, error)) pending {
				mu.Lock()
				defer mu.Unlock()
				pass, err := ask()
				if err == nil && pass.Refusal == nil {
					order = append(order, i)
				}
				return at(heard, pass, err)
			})
			mu.Lock()
			defer mu.Unlock()
			if pass.Refusal != nil {
				refused = append(refused, pass.Refusal)
			}
		})
		synctest.Wait()
	}
	calls.Wait()
	return order, refused
}

func inLine(t *testing.T, q Quota, patience time.Duration, test func(t *testing.T, l *line)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLine(q, patience)
		defer l.timer.Stop()
		test(t, l)
	})
}

func TestWaitingCallsAskOneAtATimeAndInOrder(t *testing.T) {
	inLine(t, Quota{}, time.Hour, func(t *testing.T, l *line) {
		w := &window{gap: 100 * time.Millisecond}
		start := time.Now()
		order, refused := queueUp(l, 100, w.ask)
		if len(refused) > 0 || len(order) != 100 || !slices.IsSorted(order) {
			t.Errorf("order %v, refused %v", order, refused)
		}
		if took := time.Since(start); took != 9900*time.Millisecond {
			t.Errorf("100 calls took %v, want 9.9s", took)
		}
		if w.asks > 300 {
			t.Errorf("asked %d times for 100 calls", w.asks)
		}
	})
}

func TestUnlimitedLineLetsEverybodyAskAtOnce(t *testing.T) {
	inLine(t, Quota{}, time.Second, func(t *testing.T, l *line) {
		var inside int
		order, _ := queueUp(l, 50, func() (Pass, error) { inside++; return Pass{}, nil })
		if len(order) != 50 || inside != 50 {
			t.Errorf("%d admitted", len(order))
		}
	})
}

func TestBurstIsSmoothedBeforeAnybodyIsRefused(t *testing.T) {
	inLine(t, Quota{RequestsPerMinute: 600}, time.Hour, func(t *testing.T, l *line) {
		start, first := time.Now(), 0
		queueUp(l, 40, func() (Pass, error) {
			if time.Since(start) < time.Millisecond {
				first++
			}
			return Pass{}, nil
		})
		if first != 11 {
			t.Errorf("%d of 40 asked at once, want 11", first)
		}
	})
}

func TestTurnsBeyondPatienceAreRefused(t *testing.T) {
	inLine(t, Quota{RequestsPerMinute: 600}, time.Second, func(t *testing.T, l *line) {
		w := &window{gap: 100 * time.Millisecond}
		_, refused := queueUp(l, 40, w.ask)
		if len(refused) < 20 {
			t.Fatalf("%d of 40 refused", len(refused))
		}
		for _, no := range refused {
			if no.Wait <= time.Second || no.Wait > 2*time.Second || no.Behind < 900*time.Millisecond {
				t.Errorf("refused for %v, of which %v behind others", no.Wait, no.Behind)
			}
		}
	})
}

func TestCallThatHasToWaitOnIsAheadOfNewOnes(t *testing.T) {
	inLine(t, Quota{}, time.Hour, func(t *testing.T, l *line) {
		w := &window{gap: 100 * time.Millisecond, next: time.Now().Add(3 * time.Second)}
		order, _ := queueUp(l, 3, w.ask) // the first asks at once, in vain
		if !slices.Equal(order, []int{0, 1, 2}) {
			t.Errorf("order %v", order)
		}
	})
}

// Jobs of different sizes used to count alike, so that a batch of large ones
// had most of a quota of tokens.
func TestSharesAreCountedInWhatTheQuotaCounts(t *testing.T) {
	for name, test := range map[string]struct {
		quota        Quota
		small, large int64 // calls of 400 in all
	}{
		"tokens":           {Quota{TokensPerMinute: 60_000}, 300, 100},
		"requests":         {Quota{RequestsPerMinute: 6000}, 200, 200},
		"both, few tokens": {Quota{RequestsPerMinute: 6000, TokensPerMinute: 60_000}, 300, 100},
	} {
		t.Run(name, func(t *testing.T) {
			inLine(t, test.quota, time.Hour, func(t *testing.T, l *line) {
				w := &window{gap: time.Second, next: time.Now().Add(time.Second)}
				ctx, end := context.WithTimeout(t.Context(), 460500*time.Millisecond)
				defer end()
				began := time.Now()
				var got [2]atomic.Int64
				var calls sync.WaitGroup
				for large := range 2 {
					for i := range 450 {
						call := &jobs.Call{Job: jobs.ID(fmt.Sprint(large, i)), Batch: fmt.Sprint(large), Tenant: "acme"}
						calls.Go(func() {
							pass, err := l.enter(ctx, call, int64(100+200*large), w.answer)
							if err == nil && pass.Refusal == nil && time.Since(began) >= time.Minute {
								got[large].Add(1)
							}
						})
					}
				}
				calls.Wait()
				small, large := got[0].Load(), got[1].Load()
				if small < test.small-4 || small > test.small+4 || large < test.large-4 || large > test.large+4 {
					t.Errorf("%d small calls and %d that are three times as large, want %d and %d", small, large, test.small, test.large)
				}
			})
		})
	}
}

func TestBatchIsChargedForWhatItsCallsTook(t *testing.T) {
	inLine(t, Quota{TokensPerMinute: 60_000}, time.Hour, func(t *testing.T, l *line) {
		w := &window{gap: time.Second, next: time.Now().Add(time.Second)}
		ctx, end := context.WithTimeout(t.Context(), 400500*time.Millisecond)
		defer end()
		var got [2]atomic.Int64
		var calls sync.WaitGroup
		for wordy := range 2 {
			for i := range 450 {
				calls.Go(func() {
					call := &jobs.Call{ID: fmt.Sprint(wordy, i), Batch: fmt.Sprint(wordy), Tenant: "acme"}
					pass, err := l.enter(ctx, call, 100, w.answer)
					if err == nil && pass.Refusal == nil {
						got[wordy].Add(1)
						l.left(call.ID, 1, int64(100+200*wordy)) // more than was expected
						l.left(call.ID, 1, 1_000_000)            // once only
					}
				})
			}
		}
		calls.Wait()
		if few, many := got[1].Load(), got[0].Load(); few < 95 || few > 105 || many < 295 || many > 305 {
			t.Errorf("%d and %d calls, want 100 that took three times as much as 300", few, many)
		}
	})
}

func TestPauseSendsTheWholeLineAway(t *testing.T) {
	inLine(t, Quota{}, 10*time.Second, func(t *testing.T, l *line) {
		asks := 0
		_, refused := queueUp(l, 20, func() (Pass, error) {
			asks++
			if asks == 1 {
				return Pass{Refusal: &Refusal{Guard: LimiterGuard, Wait: time.Second}}, nil
			}
			return Pass{Refusal: &Refusal{Guard: LimiterGuard, Wait: time.Minute}}, nil
		})
		if len(refused) != 20 || asks != 2 {
			t.Errorf("%d refused after asking %d times", len(refused), asks)
		}
	})
}

func TestOtherGuardsRefusalsPassThrough(t *testing.T) {
	inLine(t, Quota{}, time.Second, func(t *testing.T, l *line) {
		_, refused := queueUp(l, 5, func() (Pass, error) {
			return Pass{Refusal: &Refusal{Guard: BreakerGuard, Wait: time.Minute}}, nil
		})
		if len(refused) != 5 || refused[4].Guard != BreakerGuard {
			t.Errorf("refused %v", refused)
		}
	})
}

func TestImpatientCallerLeavesTheLineInOrder(t *testing.T) {
	inLine(t, Quota{}, time.Hour, func(t *testing.T, l *line) {
		w := &window{gap: time.Second, next: time.Now().Add(time.Second)}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		var calls sync.WaitGroup
		var gone error
		calls.Go(func() { _, gone = l.enter(ctx, one("impatient"), 0, w.answer) })
		synctest.Wait()
		order, _ := queueUp(l, 3, w.ask)
		calls.Wait()
		if gone == nil || !slices.Equal(order, []int{0, 1, 2}) {
			t.Errorf("left with %v, order %v", gone, order)
		}
	})
}

func TestFreedPlaceIsAskedForAtOnce(t *testing.T) {
	inLine(t, Quota{Concurrent: 1}, time.Hour, func(t *testing.T, l *line) {
		start := time.Now()
		time.AfterFunc(time.Millisecond, l.freed)
		queueUp(l, 1, func() (Pass, error) {
			if time.Since(start) >= time.Millisecond {
				return Pass{}, nil
			}
			return Pass{Refusal: &Refusal{Guard: LimiterGuard, Wait: 20 * time.Millisecond}}, nil
		})
		if took := time.Since(start); took != time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

// The first admission of a line, and the first after an idle time, used to
// count the time before it as the pace: everybody else was sent away for years.
func TestFirstAdmissionSaysNothingOfThePace(t *testing.T) {
	inLine(t, Quota{Concurrent: 4}, time.Second, func(t *testing.T, l *line) {
		for range 2 {
			w := &window{gap: 100 * time.Millisecond, next: time.Now().Add(100 * time.Millisecond)}
			if _, refused := queueUp(l, 40, w.ask); len(refused) > 0 && refused[len(refused)-1].Wait > 10*time.Second {
				t.Errorf("the last was sent away for %v", refused[len(refused)-1].Wait)
			}
			time.Sleep(time.Hour)
		}
	})
}

// Calls that were woken at one moment used to ask in the order in which the
// scheduler ran them, so that the last to come was now and then the first.
func TestCallsWokenTogetherAskInTheOrderInWhichTheyCame(t *testing.T) {
	inLine(t, Quota{}, time.Hour, func(t *testing.T, l *line) {
		l.until = time.Now().Add(time.Second)
		order, _ := queueUp(l, 200, func() (Pass, error) { return Pass{}, nil })
		if len(order) != 200 || !slices.IsSorted(order) {
			t.Errorf("%d asked, in the order %v", len(order), order)
		}
	})
}

// A crowd of one batch's calls used to be ahead of everybody who came later.
func TestBatchesTakeTurnsInTheLine(t *testing.T) {
	for name, rival := range map[string]jobs.Call{
		"same tenant":     {Batch: "few", Tenant: "acme"},
		"another tenant":  {Batch: "few", Tenant: "globex"},
		"an eager tenant": {Batch: "few", Tenant: "globex", Weight: 100},
	} {
		t.Run(name, func(t *testing.T) {
			inLine(t, Quota{}, time.Hour, func(t *testing.T, l *line) {
				w := &window{gap: time.Second, next: time.Now().Add(time.Second)}
				var calls sync.WaitGroup
				defer calls.Wait()
				crowd, leave := context.WithCancel(t.Context())
				defer leave()
				var many atomic.Int64
				for i := range 500 {
					calls.Go(func() {
						if pass, err := l.enter(crowd, one(fmt.Sprint(i)), 0, w.answer); err == nil && pass.Refusal == nil {
							many.Add(1)
						}
					})
				}
				synctest.Wait()
				start := time.Now()
				var few sync.WaitGroup
				for i := range 20 {
					call := rival
					call.Job = jobs.ID(fmt.Sprint("few", i))
					few.Go(func() { _, _ = l.enter(t.Context(), &call, 0, w.answer) })
				}
				few.Wait()
				took, others := time.Since(start), many.Load()
				if took > 34*time.Second || others < 10 || others > 14 {
					t.Errorf("20 calls took %v, and %d of the crowd went meanwhile; want a head start of 8 and then turns", took, others)
				}
			})
		})
	}
}

func TestWeightsHoldInTheLine(t *testing.T) {
	inLine(t, Quota{}, time.Hour, func(t *testing.T, l *line) {
		w := &window{gap: time.Second, next: time.Now().Add(time.Second)}
		began := time.Now()
		ctx, end := context.WithTimeout(t.Context(), 460500*time.Millisecond)
		defer end()
		var mu sync.Mutex
		got := map[string]int{}
		var calls sync.WaitGroup
		for batch, weight := range map[string]int{"a": 1, "b": 2, "c": 5} {
			for i := range 300 {
				call := &jobs.Call{Job: jobs.ID(fmt.Sprint(batch, i)), Batch: batch, Tenant: "acme", Weight: weight}
				calls.Go(func() {
					pass, err := l.enter(ctx, call, 0, w.answer)
					if err != nil || pass.Refusal != nil || time.Since(began) < time.Minute { // then they had their head start
						return
					}
					mu.Lock()
					defer mu.Unlock()
					got[batch]++
				})
			}
		}
		calls.Wait()
		if got["a"] < 48 || got["a"] > 52 || got["b"] < 97 || got["b"] > 103 || got["c"] < 247 || got["c"] > 253 {
			t.Errorf("400 calls at weights 1, 2 and 5 went as %v", got)
		}
	})
}

func TestAheadTellsHowLongTheLineIs(t *testing.T) {
	inLine(t, Quota{RequestsPerMinute: 60}, time.Hour, func(t *testing.T, l *line) {
		w := &window{gap: time.Second}
		if l.ahead(one("first")) != 0 {
			t.Error("nobody is there, and it tells of a wait")
		}
		var calls sync.WaitGroup
		defer calls.Wait()
		for i := range 10 {
			calls.Go(func() { _, _ = l.enter(t.Context(), one(fmt.Sprint(i)), 0, w.answer) })
			synctest.Wait()
		}
		if wait := l.ahead(one("last")); wait < 7*time.Second || wait > 11*time.Second {
			t.Errorf("%v behind ten calls", wait)
		}
	})
}
