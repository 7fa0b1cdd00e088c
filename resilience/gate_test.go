package resilience

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
)

// replica is a worker process as far as its gate is concerned.
type replica struct {
	*Gate
	breaker *Breaker
	limiter *Limiter
}

func (s *store) replica(t testing.TB, name string, q Quota, change ...func(*GateConfig)) *replica {
	r := s.idle(name, q, change...)
	r.start(t)
	return r
}

// idle is a replica whose gate does not run yet.
func (s *store) idle(name string, q Quota, change ...func(*GateConfig)) *replica {
	r := &replica{
		breaker: NewBreaker(BreakerConfig{}),
		limiter: NewLimiter(LimiterConfig{Quotas: map[string]Quota{"small": q}}),
	}
	config := GateConfig{Redis: s.rdb, Worker: name, Guards: []Guard{r.breaker, r.limiter}}
	for _, c := range change {
		c(&config)
	}
	r.Gate = NewGate(config)
	return r
}

func (r *replica) start(t testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

func (r *replica) inFlight(t testing.TB) int64 {
	t.Helper()
	states, err := Quotas(context.Background(), r.config.Redis, r.limiter.config.Keys, "small")
	if err != nil {
		t.Fatal(err)
	}
	return states[0].InFlight
}

// admit enters a call that has to be admitted.
func (r *replica) admit(t testing.TB) *jobs.Call {
	t.Helper()
	c := newCall(r.config.Worker)
	pass, err := r.Enter(t.Context(), c)
	if err != nil || pass.Refusal != nil {
		t.Fatalf("got %v, %v", pass.Refusal, err)
	}
	return c
}

func (r *replica) settle(t testing.TB, c *jobs.Call, a jobs.Attempt) {
	t.Helper()
	if err := r.Leave(t.Context(), c, &a); err != nil {
		t.Fatal(err)
	}
}

// hold keeps the next script from being sent until it is let go.
func (s *store) hold() (held <-chan struct{}, let func()) {
	reached, free := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	s.onScript(func(run func() error) error {
		if first.CompareAndSwap(false, true) {
			close(reached)
			<-free
		}
		return run()
	})
	return reached, sync.OnceFunc(func() { close(free) })
}

// awaitWaiting returns when so many operations wait for the next group.
func (r *replica) awaitWaiting(want int) {
	for n := 0; n < want; {
		r.committer.mu.Lock()
		n = len(r.committer.waiting)
		r.committer.mu.Unlock()
	}
}

func TestResultIsToldThoughItsCallerGoesOnWithAnotherID(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		r := s.replica(t, "a", Quota{})
		c := r.admit(t)
		var away atomic.Bool
		away.Store(true)
		s.onScript(func(run func() error) error {
			if away.Load() {
				return errors.New("away")
			}
			return run()
		})
		r.settle(t, c, jobs.Attempt{Kind: jobs.Interrupted, Billing: jobs.Free})
		c.ID = "another"
		away.Store(false)
		time.Sleep(2 * retryEvery)
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.live) > 0 {
			t.Errorf("the gate keeps %d calls alive that have left", len(r.live))
		}
	})
}

func TestCallsThatComeTogetherShareARoundTrip(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		s.open(t)
		r := s.replica(t, "a", Quota{Concurrent: 1000})
		r.admit(t) // the server knows the script by now
		var scripts atomic.Int64
		s.onScript(func(run func() error) error { scripts.Add(1); return run() })
		held, let := s.hold()
		var callers sync.WaitGroup
		callers.Go(func() { r.admit(t) })
		<-held
		for range 200 {
			callers.Go(func() { r.admit(t) })
		}
		r.awaitWaiting(200)
		let()
		callers.Wait()
		if n := scripts.Load(); n != 2 {
			t.Errorf("%d scripts for 201 calls, want 1 and 1 for all others", n)
		}
		if n := r.inFlight(t); n != 202 {
			t.Errorf("%d in flight", n)
		}
	})
}

func TestFullGroupDoesNotWaitForTheOneBefore(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		s.open(t)
		r := s.replica(t, "a", Quota{Concurrent: 1000})
		held, let := s.hold()
		var first, others sync.WaitGroup
		first.Go(func() { r.admit(t) })
		<-held
		for range r.config.Group {
			others.Go(func() { r.admit(t) })
		}
		others.Wait()
		let()
		first.Wait()
		if n := int(r.inFlight(t)); n != r.config.Group+1 {
			t.Errorf("%d in flight", n)
		}
	})
}

func TestAbandonedCallLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		s.open(t)
		held, let := s.hold()
		defer let()
		r := s.replica(t, "a", Quota{})
		ctx, cancel := context.WithCancelCause(t.Context())
		enter := func() error {
			_, err := r.Enter(ctx, newCall("a"))
			return err
		}
		failed := make(chan error)
		go func() { failed <- enter() }()
		<-held
		go func() { failed <- enter() }() // this one waits for the next group
		other := make(chan *jobs.Call)
		go func() { other <- r.admit(t) }()
		r.awaitWaiting(2)
		enough := errors.New("enough")
		cancel(enough)
		for range 2 {
			if err := <-failed; !errors.Is(err, enough) {
				t.Errorf("got %v", err)
			}
		}
		let()
		r.settle(t, <-other, jobs.Attempt{}) // the group went on without them
		r.committer.groups.Wait()
		if n := r.inFlight(t); n != 0 {
			t.Errorf("%d in flight", n)
		}
	})
}

func TestLostReplyAdmitsOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		s.open(t)
		lost := 0
		s.onScript(func(run func() error) error {
			err := run()
			if lost++; lost%2 == 1 {
				return errors.New("read: connection reset by peer")
			}
			return err
		})
		r := s.replica(t, "a", Quota{})
		c := r.admit(t)
		if n := r.inFlight(t); n != 1 {
			t.Errorf("%d in flight", n)
		}
		for range 2 {
			r.settle(t, c, bad)
		}
		if n := r.inFlight(t); n != 0 {
			t.Errorf("%d in flight at the end", n)
		}
		if c, _ := Circuits(t.Context(), r.config.Redis, keyspace, "small"); c[0].Failures != 1 {
			t.Errorf("%d failures counted, want 1", c[0].Failures)
		}
	})
}

func TestEnterWhoseFateIsUnknownIsUndone(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		var scripts atomic.Int64
		var back atomic.Bool
		s.onScript(func(run func() error) error {
			if scripts.Add(1) <= 2 || back.Load() { // the server hears the Enter, and nothing after it
				if err := run(); err != nil || back.Load() {
					return err
				}
			}
			return errors.New("read: i/o timeout")
		})
		r := s.replica(t, "a", Quota{})
		if _, err := r.Enter(t.Context(), newCall("a")); err == nil {
			t.Fatal("admitted without a reply")
		}
		if n := r.inFlight(t); n != 1 {
			t.Fatalf("%d in flight while nobody can be told", n)
		}
		back.Store(true)
		time.Sleep(2 * retryEvery)
		if n := r.inFlight(t); n != 0 {
			t.Errorf("%d in flight", n)
		}
	})
}

func TestResultsAreKeptWhileRedisIsAway(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		var away atomic.Bool
		s.onScript(func(run func() error) error {
			if away.Load() {
				return errors.New("dial tcp: connection refused")
			}
			return run()
		})
		var reported atomic.Int64
		r := s.replica(t, "a", Quota{Concurrent: 601}, func(c *GateConfig) {
			c.Backlog = 600
			c.OnError = func(error) { reported.Add(1) }
		})
		inFlight := make([]*jobs.Call, 601)
		for i := range inFlight {
			inFlight[i] = r.admit(t)
		}
		away.Store(true)
		start := time.Now()
		for _, c := range inFlight[:600] {
			r.settle(t, c, jobs.Attempt{})
		}
		within(t, "leaving", time.Since(start), 0, 5*time.Second)
		if err := r.Leave(t.Context(), inFlight[600], &jobs.Attempt{}); err == nil || !strings.Contains(err.Error(), "600 results") {
			t.Errorf("one too many: %v", err)
		}
		time.Sleep(15 * time.Second) // within the lease
		if reported.Load() == 0 {
			t.Error("nobody was told")
		}
		away.Store(false)
		time.Sleep(5 * time.Second)
		if n := r.inFlight(t); n != 1 {
			t.Errorf("%d in flight, want the one whose result was not taken", n)
		}
		r.settle(t, inFlight[600], jobs.Attempt{})
	})
}

func TestResultsThatCannotBeDeliveredAreReported(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		var away atomic.Bool
		s.onScript(func(run func() error) error {
			if away.Load() {
				return errors.New("dial tcp: connection refused")
			}
			return run()
		})
		var last error
		r := NewGate(GateConfig{Redis: s.rdb, OnError: func(err error) { last = err }})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); r.Run(ctx) }()
		c := newCall("a")
		if _, err := r.Enter(ctx, c); err != nil {
			t.Fatal(err)
		}
		away.Store(true)
		if err := r.Leave(ctx, c, &jobs.Attempt{}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		cancel()
		<-done
		within(t, "closing", time.Since(start), lastWait, 2*lastWait)
		if last == nil || !strings.Contains(last.Error(), "1 call;") {
			t.Errorf("told %v", last)
		}
		if _, err := r.Enter(t.Context(), newCall("a")); err == nil {
			t.Error("a closed gate admitted a call")
		}
	})
}

func TestCallsInFlightAreKeptAlive(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		r := s.replica(t, "a", Quota{Concurrent: 2000})
		for range 1200 { // more than one operation keeps alive
			r.admit(t)
		}
		dead := s.desk(t, r.limiter, keyspace)
		dead.admit(newCall("b"))
		time.Sleep(10 * time.Minute)
		if n := r.inFlight(t); n != 1200 {
			t.Errorf("%d in flight, want 1200: the dead worker's has lapsed", n)
		}
	})
}

func TestSumsAreRebuiltByOneReplica(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		var rebuilt atomic.Int64
		var callers sync.WaitGroup
		for _, name := range []string{"a", "b", "c"} {
			var g *replica
			g = s.replica(t, name, Quota{}, func(c *GateConfig) {
				c.Rebuild = func(ctx context.Context) error {
					rebuilt.Add(1)
					return s.reopen(ctx, g.Script())
				}
			})
			for range 20 {
				callers.Go(func() {
					c := newCall(name)
					if pass, err := g.Enter(context.Background(), c); err != nil || pass.Refusal != nil {
						t.Errorf("got %v, %v", pass, err)
					}
				})
			}
		}
		callers.Wait()
		if n := rebuilt.Load(); n != 1 {
			t.Errorf("rebuilt %d times", n)
		}
	})
}

func TestSumsThatCameBackMeanwhileAreNotRebuilt(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.rdb.AddHook(hook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			if cmd.Name() == "set" && strings.Contains(fmt.Sprint(cmd.Args()), "rebuild") {
				s.open(t) // by the replica that had the lock until now
			}
			return next(ctx, cmd)
		}))
		r := s.replica(t, "a", Quota{}, func(c *GateConfig) {
			c.Rebuild = func(context.Context) error { return errors.New("called") }
		})
		r.admit(t)
	})
}

func TestResultsWaitForTheSums(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		r := s.replica(t, "a", Quota{}, func(c *GateConfig) {
			c.Rebuild = func(ctx context.Context) error {
				time.Sleep(3 * time.Minute) // there is much in the book
				return s.rdb.Set(ctx, keyspace.Key("epoch"), "2", 0).Err()
			}
		})
		c := r.admit(t)
		s.rdb.Del(t.Context(), keyspace.Key("epoch"))
		start := time.Now()
		r.settle(t, c, jobs.Attempt{})
		if _, err := r.Enter(t.Context(), newCall("a")); err == nil || !strings.Contains(err.Error(), "still being rebuilt") {
			t.Errorf("got %v", err)
		}
		within(t, "waiting for the sums", time.Since(start), time.Minute, 3*time.Minute)
		time.Sleep(3 * time.Minute)
		if n := r.inFlight(t); n != 0 {
			t.Errorf("%d in flight", n)
		}
	})
}

func TestFailedRebuildIsToldToWhoWaits(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		failing := true
		r := s.replica(t, "a", Quota{}, func(c *GateConfig) {
			c.Rebuild = func(ctx context.Context) error {
				if failing {
					return errors.New("the book is out of reach")
				}
				return s.rdb.Set(ctx, keyspace.Key("epoch"), "2", 0).Err()
			}
		})
		if _, err := r.Enter(t.Context(), newCall("a")); err == nil || !strings.Contains(err.Error(), "the book is out of reach") {
			t.Errorf("got %v", err)
		}
		failing = false
		r.admit(t)
	})
}

func TestRebuildEndsWhenItsLockIsLost(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		r := s.replica(t, "a", Quota{}, func(c *GateConfig) {
			c.Rebuild = func(ctx context.Context) error {
				s.rdb.Set(ctx, keyspace.Key("rebuild"), "somebody else", 0)
				<-ctx.Done()
				return context.Cause(ctx)
			}
		})
		if _, err := r.Enter(t.Context(), newCall("a")); err == nil || !strings.Contains(err.Error(), "lock") {
			t.Errorf("got %v", err)
		}
		if owner := s.rdb.Get(t.Context(), keyspace.Key("rebuild")).Val(); owner != "somebody else" {
			t.Errorf("the lock of another replica was taken: %q", owner)
		}
	})
}

// porter refuses with a text and a tag, or makes the script fail.
type porter struct{ name, text, tag string }

func (p porter) Module() lua.Module {
	return lua.Module{Name: p.name, Source: `return {
		check = function(K, A) if A[1] == 'fail' then redis.call('INCR', 'a', 'b') end
			if A[1] ~= '' then return {why = A[1], wait = 5000000, tag = A[2]} end end,
		apply = function() return '', 0 end, leave = function() end, lapse = function() end,
	}`}
}

func (p porter) Enter(c *jobs.Call) lua.Step {
	return lua.Once(p.name, nil, p.text+c.Batch, p.tag)
}
func (p porter) Leave(*jobs.Call, *jobs.Attempt) lua.Step { return lua.Step{} }

func TestRefusalsSayWhoseTheyAre(t *testing.T) {
	t.Parallel()
	tests := []struct {
		porter
		want string
	}{
		{porter{LedgerGuard, "over the limit", ""}, LedgerGuard},
		{porter{LedgerGuard, "a call for it is live", "claimed"}, ClaimGuard},
		{porter{BreakerGuard, "the circuit is open", ""}, BreakerGuard},
	}
	for _, tt := range tests {
		s := onMini(t)
		s.open(t)
		g := NewGate(GateConfig{Redis: s.rdb, Guards: []Guard{tt.porter}})
		pass, err := g.Enter(t.Context(), newCall("a"))
		want := Refusal{Guard: tt.want, Reason: tt.text, Wait: 5 * time.Second}
		if err != nil || pass.Refusal == nil || *pass.Refusal != want {
			t.Errorf("got %v, %v, want %v", pass.Refusal, err, want)
		}
	}
}

func TestFaultInOneCallHurtsNoOther(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		s.open(t)
		held, let := s.hold()
		g := NewGate(GateConfig{Redis: s.rdb, Guards: []Guard{porter{name: "porter"}}})
		var callers sync.WaitGroup
		enter := func(batch string) {
			callers.Go(func() {
				c := newCall("a")
				c.Batch = batch
				if _, err := g.Enter(context.Background(), c); (err != nil) != (batch == "fail") {
					t.Errorf("batch %q: %v", batch, err)
				}
			})
		}
		enter("")
		<-held
		for i := range 20 {
			enter([]string{"", "fail"}[i/19])
		}
		for n := 0; n < 20; {
			g.committer.mu.Lock()
			n = len(g.committer.waiting)
			g.committer.mu.Unlock()
		}
		let()
		callers.Wait()
		g.committer.groups.Wait()
	})
}

func TestReplicasShareWhatTheyLearn(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		s.open(t)
		a, b := s.replica(t, "a", Quota{Concurrent: 10}), s.replica(t, "b", Quota{Concurrent: 10})
		a.settle(t, a.admit(t), jobs.Attempt{Kind: jobs.RateLimited, RetryAfter: time.Minute})
		pass, err := b.Enter(t.Context(), newCall("b"))
		if err != nil || pass.Refusal == nil || pass.Refusal.Guard != LimiterGuard || pass.Refusal.Wait < 50*time.Second {
			t.Errorf("after the other's 429: %v, %v", pass.Refusal, err)
		}
		c := newCall("a")
		c.Model = &jobs.Model{Name: "large"}
		for i := range 5 {
			c.ID = fmt.Sprint("large", i)
			if _, err := a.Enter(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			a.settle(t, c, bad)
		}
		c.ID, c.Worker = "large b", "b"
		if pass, err := b.Enter(t.Context(), c); err != nil || pass.Refusal == nil || pass.Refusal.Guard != BreakerGuard {
			t.Errorf("after the other's failures: %v, %v", pass.Refusal, err)
		}
	})
}

func TestStoppedGateIsQuiet(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		r := s.replica(t, "a", Quota{RequestsPerMinute: 60})
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			_, _ = r.Enter(ctx, newCall("a"))
			cancel()
		}
		synctest.Wait() // the bubble itself complains about what is left
	})
}

// A call may wait in the line for long, and the sums be rebuilt meanwhile: what
// is taken down when it comes would be out of date.
func TestGenerationIsThatOfTheMomentOfAsking(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		began := time.Now()
		r := s.replica(t, "w1", Quota{RequestsPerMinute: 30}, func(c *GateConfig) {
			c.Generation = func() uint64 { return uint64(time.Since(began) / time.Second) }
		})
		for i := range 3 {
			pass, err := r.Enter(t.Context(), newCall("w1"))
			if at := uint64(time.Since(began) / time.Second); err != nil || pass.Refusal != nil || pass.Generation != at || i == 2 && at == 0 {
				t.Errorf("after %ds: %+v, %v", at, pass, err)
			}
		}
	})
}
