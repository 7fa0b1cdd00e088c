package wire

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/embedded"
	"github.com/drover-batch/drover/internal/natstest"
	"github.com/drover-batch/drover/jobs"
)

// TestBatchGoesThroughLeaderChangesOfNATS has the streams of a cluster change
// their leaders, and then the server gone that leads the record of calls.
func TestBatchGoesThroughLeaderChangesOfNATS(t *testing.T) {
	if os.Getenv("DROVER_SLOW_TESTS") == "" {
		t.Skip("three servers elect their leaders in real time, which a busy machine may be too slow for: set DROVER_SLOW_TESTS=1")
	}
	t.Parallel()
	const n = 240
	cluster := natstest.StartCluster(t)
	redis, err := embedded.StartRedis(embedded.RedisConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(redis.Close)
	w := place(t, func(c *config.Config) {
		c.NATS.URL, c.Queue.Replicas, c.Redis.URL = cluster.URL(), 3, redis.URL()
	})
	w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollar}, short(n)...)
	dismiss := w.hire("a", "b")
	from := time.Now()
	w.wait(func() bool { return w.sent() > n/10 })
	w.unsettle(3)
	w.wait(func() bool { return w.sent() > n/2 })
	lost, leader := time.Now(), w.leader("CALLS")
	for _, s := range cluster.Servers {
		if s.Name() == leader { // and not the one that leads after it
			s.Shutdown()
		}
	}
	w.untilOver("contracts")
	w.note(audit.Fault{Kind: audit.Broker, What: "leaders changed and a server of three was lost", From: from, To: time.Now()})
	t.Logf("over %v after the loss of a server", time.Since(lost).Round(time.Millisecond))
	dismiss()
	w.answered("contracts")
	for _, o := range audit.Examine(w.look().Evidence).Objections {
		t.Error(o)
	}
	t.Logf("paid for %d calls of %d jobs", w.paid(), n)
}

// unsettle has each stream change its leader so many times.
func (w *world) unsettle(times int) {
	for range times {
		for _, name := range []string{"CALLS", "OUTCOMES", "JOBS"} {
			natstest.StepDown(w.client.NATS, strings.ToUpper(w.config.Queue.Prefix)+"_"+name)
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// leader is the server that leads a stream.
func (w *world) leader(stream string) string {
	w.Helper()
	js, err := jetstream.New(w.client.NATS)
	w.must(err)
	for end := time.Now().Add(time.Minute); ; {
		s, err := js.Stream(w.ctx, strings.ToUpper(w.config.Queue.Prefix)+"_"+stream)
		if err == nil && s.CachedInfo().Cluster != nil && s.CachedInfo().Cluster.Leader != "" {
			return s.CachedInfo().Cluster.Leader
		}
		if time.Now().After(end) {
			w.Fatalf("nobody leads %s: %v", stream, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
