package wire

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/apart"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/racing"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
)

var (
	seed    = flag.Uint64("seed", 0, "the only schedule to run; default: many")
	from    = flag.Uint64("from", 1, "the first of many schedules")
	seeds   = flag.Uint64("seeds", map[bool]uint64{false: 25, true: 8}[racing.On], "the last of many schedules")
	without = flag.String("without", "", "numbers of faults of the schedule to leave out, as 0,3")
)

// TestAnySchedule lets faults of all sorts happen at moments drawn from a seed,
// and leaves it to the checker to object. A schedule that fails is made smaller
// before it is told.
func TestAnySchedule(t *testing.T) {
	first, last := *from, *seeds
	if *seed > 0 {
		first, last = *seed, *seed
	}
	for n := first; n <= last; n++ {
		t.Run(fmt.Sprintf("seed=%d", n), func(t *testing.T) {
			s := draw(n).leaveOut(*without)
			if apart.Inside(t) {
				s.run(t)
				return
			}
			t.Parallel()
			said, err := s.apartFrom(t)
			if err != nil {
				t.Fatal(said)
			}
			t.Log(said)
		})
	}
}

// TestSameSeedSameLedger plays schedules twice: the one of -seed, or a fifth of
// the many.
func TestSameSeedSameLedger(t *testing.T) {
	racing.Spare(t, "TestAnySchedule plays them once")
	first, last := uint64(1), *seeds/5
	if *seed > 0 {
		first, last = *seed, *seed
	}
	for n := first; n <= last; n++ {
		t.Run(fmt.Sprintf("seed=%d", n), func(t *testing.T) {
			if apart.Inside(t) {
				draw(n).run(t)
				return
			}
			t.Parallel()
			var ledgers [2]string
			for i := range ledgers {
				said, err := apart.Run(t, fmt.Sprint("-seed=", n))
				if err != nil {
					t.Fatal(said)
				}
				_, ledgers[i], _ = strings.Cut(said, "ledger ")
			}
			if ledgers[0] == "" || ledgers[0] != ledgers[1] {
				t.Errorf("the first time its ledger is %s and the second %s", ledgers[0], ledgers[1])
			}
		})
	}
}

// schedule is all that is up to chance in a world.
type schedule struct {
	seed   uint64
	crew   int
	faults []fault
}

// draw makes the schedule of a seed.
func draw(seed uint64) *schedule {
	r := rand.New(rand.NewPCG(seed, 0))
	s := &schedule{seed: seed, crew: 2 + r.IntN(2), faults: make([]fault, 3+r.IntN(5))}
	for i := range s.faults {
		k := drawKind(r)
		f := fault{kind: k.name, at: seconds(r, 0, 40), who: crew(s.crew)[r.IntN(s.crew)]}
		k.draw(&f, r)
		if k.whom == everybody {
			f.who = ""
		}
		s.faults[i] = f
	}
	slices.SortFunc(s.faults, func(a, b fault) int { return int(a.at - b.at) })
	return s
}

func drawKind(r *rand.Rand) *kind {
	all := 0
	for i := range kinds {
		all += kinds[i].weight
	}
	n := r.IntN(all)
	for i := range kinds {
		if n -= kinds[i].weight; n < 0 {
			return &kinds[i]
		}
	}
	panic("unreachable")
}

// happen lets the fault run its course.
func (f *fault) happen(w *world) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == f.kind })
	kinds[i].happen(w, f)
}

func (s *schedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %d workers:", s.seed, s.crew)
	for i := range s.faults {
		if !s.faults[i].out {
			fmt.Fprintf(&b, "\n  %d: %s", i, &s.faults[i])
		}
	}
	return b.String()
}

// ahead is how far Redis' clock was ahead at the most.
func (s *schedule) ahead() (most time.Duration) {
	for _, i := range s.numbers() {
		if f := &s.faults[i]; f.kind == "Redis clock jumps" {
			most = max(most, f.size)
		}
	}
	return most
}

// run plays the schedule in a world.
func (s *schedule) run(t *testing.T) {
	sc := scene{
		provider: simulator.Config{Seed: s.seed, Latency: 3 * time.Second, Spread: 0.7, Odds: mishaps()},
		tune:     func(c *config.Config) { c.Worker.Slots = 4 },
		latency:  200 * time.Microsecond,
		embedded: true,
	}
	sc.play(t, func(w *world) {
		w.Log(s)
		w.mishaps = mishaps()
		began := time.Now()
		w.submit(jobs.Batch{ID: "one"}, short(20)...)
		w.submit(jobs.Batch{ID: "two", Budget: jobs.Dollar}, append(short(15), long())...)
		w.submit(jobs.Batch{ID: "three", Budget: jobs.Dollars(0.003), WhenSpent: jobs.BuryWhenSpent}, short(15)...)
		for _, name := range crew(s.crew) {
			w.start(name)
			time.Sleep(time.Millisecond) // not at the same moment
		}
		var faults sync.WaitGroup
		for _, i := range s.numbers() {
			faults.Go(func() {
				time.Sleep(time.Until(began.Add(s.faults[i].at)))
				s.faults[i].happen(w)
			})
		}
		faults.Wait()
		w.must(w.provider.SetFaults(nil, nil))
		for _, batch := range slices.Sorted(maps.Keys(w.accepted)) {
			w.untilOver(batch)
		}
		letters := w.letters("one")
		for _, id := range slices.Sorted(maps.Keys(letters)) {
			w.must(w.client.Queue.Replay(w.ctx, letters[id]))
		}
		w.untilOver("one")
		time.Sleep(s.ahead()) // what was held then lapses that much later
		w.Logf("%d calls paid for, over after %v", w.paid(), time.Since(began))
		w.Logf("ledger %s", w.digest(began))
	})
}
