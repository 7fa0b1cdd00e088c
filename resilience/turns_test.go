package resilience

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/jobs"
)

func TestTurnsOfAllReplicasTogetherKeepThePace(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		began := time.Now()
		var mu sync.Mutex
		var at []time.Duration
		var replicas sync.WaitGroup
		for range 4 {
			turns := &Turns{Redis: s.rdb, Keys: keyspace}
			replicas.Go(func() {
				for range 60 {
					if err := turns.Wait(context.Background(), "law", 240, time.Hour); err != nil {
						t.Error(err)
					}
					mu.Lock()
					at = append(at, time.Since(began))
					mu.Unlock()
				}
			})
		}
		replicas.Wait()
		slices.Sort(at)
		for i, d := range at { // four at once, then four a second
			if want := time.Duration(max(0, i-3)) * time.Second / 4; (d - want).Abs() > time.Millisecond {
				t.Fatalf("turn %d is after %v, want %v", i, d, want)
			}
		}
	})
}

func TestTurnsThatComeTooLateAreNotTaken(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		turns := &Turns{Redis: s.rdb}
		wait := func(patience time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			return turns.Wait(ctx, "law", 6, time.Minute)
		}
		began := time.Now()
		for i, err := range []error{wait(time.Second), wait(5 * time.Second), wait(5 * time.Second)} {
			if late := i > 0; errors.Is(err, jobs.ErrNoTurn) != late {
				t.Errorf("number %d: %v", i, err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("they were told after %v", took)
		}
		if err := wait(11 * time.Second); err != nil || time.Since(began).Round(time.Millisecond) != 10*time.Second {
			t.Errorf("the next turn is after %v, %v", time.Since(began), err)
		}
	})
}

func TestTurnsGoOnAfterRedisClockJumpedBack(t *testing.T) {
	t.Parallel()
	s := onMini(t)
	turns := &Turns{Redis: s.rdb}
	ask := func() error {
		_, err := turns.reserve(t.Context(), "law", 60, time.Minute, time.Minute)
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	s.pass(-time.Hour)
	if wait, err := turns.reserve(t.Context(), "law", 60, 2*time.Minute, time.Minute); err != nil || wait > 61*time.Second {
		t.Errorf("the next turn is in %v, %v", wait, err)
	}
}

func TestNobodyHasATurnWhileRedisIsAway(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		down := errors.New("the server is down")
		back := time.Now().Add(10 * time.Second)
		s.rdb.AddHook(hook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			if time.Now().Before(back) {
				cmd.SetErr(down)
				return down
			}
			return next(ctx, cmd)
		}))
		turns := &Turns{Redis: s.rdb}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := turns.Wait(ctx, "law", 60, time.Minute); !errors.Is(err, down) {
			t.Errorf("got %v", err)
		}
		if err := turns.Wait(t.Context(), "law", 60, time.Minute); err != nil {
			t.Errorf("once Redis is back: %v", err)
		}
	})
}

func TestTurnsOnEachServer(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		turns := &Turns{Redis: s.rdb, Keys: keyspace}
		for i, want := range []time.Duration{0, time.Second, 2 * time.Second} {
			wait, err := turns.reserve(t.Context(), "law", 60, time.Minute, time.Minute)
			if err != nil || wait > want || want-wait > time.Second {
				t.Errorf("turn %d is in %v, %v, want %v", i, wait, err, want)
			}
		}
	})
}
