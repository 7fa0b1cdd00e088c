package budget

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/internal/redistest"
	"github.com/drover-batch/drover/jobs"
)

var (
	small = &jobs.Model{Name: "small"}
	large = &jobs.Model{Name: "large"}
)

// store is a ledger with a script of its own on one of the servers it has to
// work on.
type store struct {
	*Ledger
	script *lua.Script
	rdb    redis.UniversalClient
	clock  func(time.Time) // sets the store's clock; nil on a real server
	now    func() time.Time
}

// onEach runs the test on the embedded server and, where they are installed,
// on real ones.
func onEach(t *testing.T, c Config, test func(t *testing.T, s *store)) {
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, onMini(t, c))
	})
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) { test(t, newStore(t, c, rdb)) })
}

func onMini(t testing.TB, c Config) *store {
	m := miniredis.RunT(t)
	now := time.Now()
	m.SetTime(now)
	s := newStore(t, c, redistest.Client(t, m.Addr()))
	s.now = func() time.Time { return now }
	s.clock = func(at time.Time) {
		now = at
		m.SetTime(at)
	}
	return s
}

func onReal(t testing.TB, c Config) *store {
	return newStore(t, c, redistest.Client(t, redistest.Start(t)))
}

func newStore(t testing.TB, c Config, rdb redis.UniversalClient) *store {
	t.Helper()
	l, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	s := &store{Ledger: l, script: lua.Compose(l.keys, l.Module()), rdb: rdb, now: time.Now}
	if err := l.Rebuild(t.Context(), rdb, s.script, Records{Book: bookOf()}); err != nil {
		t.Fatal(err)
	}
	return s
}

type failer interface {
	Helper()
	Fatal(...any)
	Context() context.Context
}

func (s *store) run(t failer, op lua.Op) lua.Reply {
	t.Helper()
	replies, err := s.script.Run(t.Context(), s.rdb, []lua.Op{op})
	if err != nil {
		t.Fatal(err)
	}
	return replies[0]
}

func (s *store) enters(t failer, c *jobs.Call) lua.Reply {
	t.Helper()
	return s.run(t, lua.Op{Kind: lua.Enter, Call: c.ID, Lease: time.Hour, Steps: []lua.Step{s.enter(c, "", s.now())}})
}

func (s *store) resumes(t failer, c *jobs.Call) lua.Reply {
	t.Helper()
	return s.run(t, lua.Op{Kind: lua.Enter, Call: c.ID, Lease: time.Hour, Steps: []lua.Step{s.enter(c, "resume", s.now())}})
}

func (s *store) leaves(t failer, c *jobs.Call, b jobs.Billing, cost jobs.USD) lua.Reply {
	t.Helper()
	a := &jobs.Attempt{Call: c.ID, Started: s.now(), Billing: b, Cost: cost}
	return s.run(t, lua.Op{Kind: lua.Leave, Call: c.ID, Steps: []lua.Step{s.Leave(c, a)}})
}

// dies ends the call's lease; the next operation finds it lapsed.
func (s *store) dies(t failer, c *jobs.Call) {
	t.Helper()
	s.run(t, lua.Op{Kind: lua.Beat, Calls: []string{c.ID}})
	s.run(t, lua.Op{Kind: lua.Beat})
}

func (s *store) sum(t failer, name string) Sum {
	t.Helper()
	list, err := s.Sums(t.Context(), s.rdb, name)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 {
		t.Fatal(fmt.Sprintf("%s has %d sums: %+v", name, len(list), list))
	}
	return list[0]
}

// call makes a call of its own job for tenant acme.
func call(id, batch string, m *jobs.Model, worst jobs.USD) *jobs.Call {
	return &jobs.Call{ID: id, Job: jobs.ID("job-" + id), Batch: batch, Tenant: "acme", Model: m, Worst: worst}
}

func limited(c *jobs.Call, limit jobs.USD) *jobs.Call {
	c.Limit = limit
	return c
}

func bookOf(spends ...jobs.Spend) iter.Seq2[jobs.Spend, error] {
	return func(yield func(jobs.Spend, error) bool) {
		for _, s := range spends {
			if !yield(s, nil) {
				return
			}
		}
	}
}

func enterOp(id string, step lua.Step) lua.Op {
	return lua.Op{Kind: lua.Enter, Call: id, Lease: time.Hour, Steps: []lua.Step{step}}
}
