package pool

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// takes has every job take as long as its number of tries says, in
// milliseconds.
func takes(ctx context.Context, d jobs.Delivery) jobs.Decision {
	return answers(time.Duration(d.Job().Run)*time.Millisecond)(ctx, d)
}

// crowd offers jobs; each takes as many milliseconds as the function says.
func (w *world) crowd(n int, milliseconds func(i int) int) (all []*delivery) {
	for i := range n {
		all = append(all, w.offer(&delivery{job: &jobs.Job{ID: jobs.ID(fmt.Sprint(i)), Batch: "b", Run: milliseconds(i)}}))
	}
	return all
}

// onLoan is how many jobs are lent and not settled.
func (w *world) onLoan() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lent
}

// farSource needs a while to lend jobs.
type farSource struct{ *world }

func (f farSource) Next(ctx context.Context, free int) ([]jobs.Delivery, error) {
	sleep(ctx, 20*time.Millisecond)
	return f.world.Next(ctx, free)
}

func TestSlotsDoNotWaitForJobsOnTheirWay(t *testing.T) {
	inWorld(t, takes, func(w *world) {
		w.pool.Slots, w.pool.Source = 64, farSource{w}
		sum := 0
		w.crowd(6400, func(i int) int {
			ms := 200 + i*7919%1800
			sum += ms
			return ms
		})
		began := time.Now()
		w.start()
		for w.pool.Stats().Answered < 6000 {
			w.sleep(10 * time.Millisecond)
		}
		busy := float64(sum) / 6400 * 6000 / 64 / float64(time.Since(began).Milliseconds())
		if busy < 0.985 { // 0.976 if a slot waited 25 ms for each job
			t.Errorf("slots were busy %.3f of the time", busy)
		}
		w.stop()
		<-w.ended
		if most := 64 + 64/8 + 64/8; w.most > most {
			t.Errorf("%d jobs were lent at once, want at most %d", w.most, most)
		}
	})
}

// TestJobFetchedAheadGoesBack has two jobs fetched ahead, for slots that have
// changed their pace: they are kept for a second, not lost, and not replaced.
func TestJobFetchedAheadGoesBack(t *testing.T) {
	for name, play := range map[string]func(w *world){
		"after a second": func(w *world) { w.sleep(30 * time.Second) },
		"when stopping":  func(w *world) { w.sleep(700 * time.Millisecond); w.stop(); w.sleep(time.Millisecond) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, takes, func(w *world) {
				w.pool.Slots = 16
				quick := w.crowd(160, func(int) int { return 10 })
				w.start()
				w.sleep(time.Second)
				w.equal("quick ones answered", w.pool.Stats().Answered, int64(len(quick)))
				var slow []*delivery
				for range 40 {
					slow = append(slow, w.offer(&delivery{job: &jobs.Job{ID: "slow", Batch: "b", Run: 60_000}, lease: 1200 * time.Millisecond}))
				}
				w.sleep(10 * time.Millisecond)
				w.equal("running", w.pool.Stats().Running, 16)
				play(w)
				back := 0
				for _, d := range slow {
					switch d.ended() {
					case "":
					case "return":
						back++
						d.mu.Lock()
						w.equal("renewals", d.extends > 0, true)
						d.mu.Unlock()
					default:
						t.Errorf("a slow job ended with %s", d.ended())
					}
				}
				w.equal("handed back", back, 2)
				w.mu.Lock()
				w.equal("waiting in the queue", len(w.queue), 40-16-2)
				w.mu.Unlock()
				w.kill()
			})
		})
	}
}

func TestOutcomesAreStoredOutsideTheirSlots(t *testing.T) {
	inWorld(t, takes, func(w *world) {
		w.pool.Slots = 16
		for _, d := range w.crowd(100, func(int) int { return 10_000 }) {
			d.endTime = 47 * time.Second
		}
		w.start()
		w.sleep(15 * time.Second) // 16 are answered, 8 make room for others and no more
		w.equal("lent", w.onLoan(), 24)
		w.equal("slots taken", w.pool.Stats().Running, 16)
		w.sleep(55 * time.Second) // those are stored, the next make room
		w.equal("answered", w.pool.Stats().Answered, int64(24))
		w.equal("lent", w.onLoan(), 24)
		w.sleep(time.Hour)
		w.equal("answered", w.pool.Stats().Answered, int64(100))
		w.stop()
		<-w.ended
		w.equal("most at once", w.most, 24)
	})
}

func TestFewSlotsLendNothingAhead(t *testing.T) {
	for n, want := range map[int]int{7: 0, 8: 1, 64: 8} {
		s := newSlots(n)
		s.held, s.asking = time.Millisecond, time.Second
		if got := s.ahead(); got != want {
			t.Errorf("%d slots: %d ahead, want %d", n, got, want)
		}
	}
}

func TestSlotGoesToNobodyWhoHasGone(t *testing.T) {
	t.Parallel()
	s := newSlots(1)
	first, second := s.take(false), s.take(false)
	lost, lose := context.WithCancel(t.Context())
	lose()
	if second.await(t.Context(), lost) {
		t.Error("a job goes on whose lease is lost")
	}
	first.leave()
	if third := s.take(false); third.come != nil {
		t.Error("the slot is not free")
	}
}

func TestNewcomersAreWorkedOnBeyondTheSlots(t *testing.T) {
	inWorld(t, takes, func(w *world) {
		newcomers := &world{T: w.T, arrived: make(chan struct{}, 1)}
		for range 10 {
			newcomers.offer(&delivery{job: &jobs.Job{ID: "new", Batch: "small", Run: 60_000}})
		}
		var asked []int
		w.pool.Slots = 16
		w.pool.Newcomers = func(ctx context.Context, most int) ([]jobs.Delivery, error) {
			asked = append(asked, most)
			return newcomers.Next(ctx, most)
		}
		all := w.crowd(40, func(int) int { return 600_000 })
		w.start()
		w.sleep(lookout / 2)
		w.equal("newcomers at once", newcomers.onLoan(), 0)
		w.sleep(30 * time.Second) // a quarter of the slots, and two at a time
		w.equal("newcomers", newcomers.onLoan(), 4)
		w.equal("asked for", fmt.Sprint(asked), "[2 2]")
		w.equal("all others", w.onLoan(), 16)
		w.sleep(time.Minute)
		w.equal("newcomers answered", w.pool.Stats().Answered, int64(4))
		w.equal("the next", newcomers.onLoan(), 4)
		w.equal("of the others", all[0].ended(), "")
		w.kill()
	})
}
