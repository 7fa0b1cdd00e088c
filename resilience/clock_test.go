package resilience

import (
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/redistest"
)

// onBoth runs the test on the embedded server and, where there is one, on a
// real one whose clock can be moved as well.
func onBoth(t *testing.T, test func(t *testing.T, s *store)) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, onMini(t))
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		s := onReal(t)
		now := time.UnixMicro(time.Now().UnixMicro())
		s.rdb.AddHook(redistest.Clock(func() time.Time { return now }))
		s.pass = func(d time.Duration) { now = now.Add(d) }
		test(t, s)
	})
}

func TestMovedClockIsWhatScriptsSee(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		d := s.desk(t, NewBreaker(BreakerConfig{}), keyspace)
		d.ends(5, "a", bad)
		d.pass(29 * time.Second)
		d.stands(Open)
		d.refuse(newCall("a"))
		d.pass(time.Second)
		d.stands(HalfOpen)
		d.admit(newCall("a"))
	})
}
