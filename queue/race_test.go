package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

func TestAnswerAtTheVeryEndOfTheLease(t *testing.T) {
	for _, row := range []struct {
		after time.Duration // the end of the lease
		want  error
	}{
		{-time.Millisecond, nil},
		{-time.Nanosecond, nil},
		{0, jobs.ErrLeaseLost},
		{time.Nanosecond, jobs.ErrLeaseLost},
		{time.Millisecond, jobs.ErrLeaseLost},
	} {
		t.Run(row.after.String(), func(t *testing.T) {
			inWorld(t, Config{}, func(w *world) {
				const n = 20
				w.enqueue(batch("b"), n)
				first, next := w.source("w1"), w.source("w2")
				lent := w.take(first, n)
				again := make(chan []jobs.Delivery)
				go func() {
					ctx, cancel := context.WithTimeout(w.ctx, 35*time.Second)
					defer cancel()
					var all []jobs.Delivery
					for got, err := next.Next(ctx, n); err == nil; got, err = next.Next(ctx, n) {
						all = append(all, got...)
					}
					again <- all
				}()
				var wg sync.WaitGroup
				for i, d := range lent {
					wg.Go(func() {
						time.Sleep(time.Until(d.Expires().Add(row.after)))
						if err := d.Done(w.ctx, answer(d, "w1", paid(fmt.Sprint(i), 1, 5))); !errors.Is(err, row.want) {
							t.Errorf("%s: %v", d.Job().CustomID, err)
						}
					})
				}
				wg.Wait()
				for _, d := range <-again {
					if settled, err := d.Settled(w.ctx); err != nil || !settled {
						t.Errorf("%s is lent again and not settled: %v", d.Job().CustomID, err)
					}
					w.must(d.Release(w.ctx))
				}
				w.onlySettled(next, time.Minute)
				if p := w.progress("b"); p.Done() != n || !p.Over() || len(w.outcomes("b")) != n || w.booked() != n*5 {
					t.Errorf("progress %+v, booked %d", p, w.booked())
				}
			})
		})
	}
}

// TestTrustInALapsedLeaseDoesHarm is the other side of TestLapsedLeaseIsFenced:
// the lease of whoever has the job now ends when it should, unless a worker
// takes its own for held that ended long ago.
func TestTrustInALapsedLeaseDoesHarm(t *testing.T) {
	const never = time.Hour
	for how, row := range map[string]struct {
		act func(w *world, d *delivery)
		end time.Duration // of the next worker's lease of 30s, with trust
	}{
		"hand-back": {func(w *world, d *delivery) { _ = d.Return(w.ctx, nil) }, 20 * time.Second},
		"release":   {func(w *world, d *delivery) { _ = d.Release(w.ctx) }, never},
		"renewal":   {func(w *world, d *delivery) { _ = d.Extend(w.ctx) }, 50 * time.Second},
	} {
		for _, trusting := range []bool{false, true} {
			t.Run(fmt.Sprint(how, " trusting ", trusting), func(t *testing.T) {
				inWorld(t, Config{}, func(w *world) {
					w.enqueue(batch("b"), 1)
					next := w.source("w3") // long before it is needed: who has just begun is careful
					late := w.take(w.source("w1"), 1)[0].(*delivery)
					time.Sleep(31 * time.Second)
					w.take(w.source("w2"), 1)
					taken := time.Now()
					time.Sleep(20 * time.Second)
					want := 30 * time.Second
					if trusting {
						late.expires, want = time.Now().Add(time.Hour), row.end
					}
					row.act(w, late)
					w.flush()
					got := never
					ctx, cancel := context.WithTimeout(w.ctx, 2*time.Minute)
					defer cancel()
					if lent, _ := next.Next(ctx, 1); len(lent) > 0 {
						got = time.Since(taken)
					}
					if got < want-time.Second || got > want+2*time.Second {
						t.Errorf("the next worker had the job for %v, not %v", got, want)
					}
				})
			})
		}
	}
}

func TestCancelAndAnswersAtOnceLeaveEachJobOneEnd(t *testing.T) {
	const rounds, n, cost = 12, 40, 5
	inWorld(t, Config{}, func(w *world) {
		answers, cancels := 0, 0
		for round := range rounds {
			b := fmt.Sprint("b", round)
			w.enqueue(batch(b), n)
			lent := w.take(w.source("w1"), n)
			if round%2 == 0 {
				time.Sleep(31 * time.Second) // whoever cancels finds them in the queue
			}
			var wg sync.WaitGroup
			end := jobs.Cancelled
			cancel := func() {
				_, err := w.q.Cancel(w.ctx, b)
				switch {
				case err == nil:
				case strings.Contains(err.Error(), "finished"): // it came too late
					end = jobs.Finished
				default:
					t.Error(err)
				}
			}
			won := make([]bool, n)
			for i, d := range lent {
				if i == round*n/rounds {
					wg.Go(cancel)
				}
				wg.Go(func() {
					if round%3 > 0 { // a cancel gives answers some seconds
						time.Sleep(time.Duration(i) * 250 * time.Millisecond)
					}
					err := d.Done(w.ctx, answer(d, "w1", paid(fmt.Sprint(b, "/", i), 1, cost)))
					if won[i] = err == nil || errors.Is(err, jobs.ErrLeaseLost); !won[i] && !errors.Is(err, jobs.ErrSettled) {
						t.Errorf("%s/%d: %v", b, i, err)
					}
				})
			}
			wg.Wait()
			w.nothing(w.source("w2"), time.Minute)
			outcomes := w.outcomes(b)
			for i, d := range lent {
				o := outcomes[d.Job().CustomID]
				if o == nil || won[i] != (o.Status == jobs.Answered) || !won[i] && o.Status != jobs.WasCancelled {
					t.Errorf("%s/%s: the answer won is %v, and it is %+v", b, d.Job().CustomID, won[i], o)
				}
				if won[i] {
					answers++
				} else {
					cancels++
				}
			}
			if p := w.progress(b); p.Done() != n || !p.Over() || p.State != end {
				t.Errorf("%s: %+v, want %s", b, p, end)
			}
		}
		t.Logf("answers won %d times, the cancel %d times", answers, cancels)
		if answers == 0 || cancels == 0 {
			t.Error("they never raced")
		}
		if sum := w.booked(); sum != rounds*n*cost {
			t.Errorf("booked %d of %d", sum, rounds*n*cost)
		}
	})
}

func TestDocumentsOfExactlyTheMostTravel(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		wr, err := w.q.Enqueue(w.ctx, batch("b"))
		w.must(err)
		most := bytes.Repeat([]byte("0123456789abcdef"), MaxBody/16)
		if err := wr.Add(w.ctx, "too much", jobs.Document{Body: append(most, 'x')}); !errors.Is(err, ErrTooLarge) {
			t.Errorf("a byte more: %v", err)
		}
		w.must(wr.Add(w.ctx, "most", jobs.Document{Body: most}))
		w.must(wr.Close(w.ctx))
		d := w.take(w.source("w1"), 1)[0]
		if !bytes.Equal(d.Job().Document.Body, most) {
			t.Error("the document came out differently")
		}
		w.must(d.Done(w.ctx, answer(d, "w1")))
	})
}
