package deploy_test

import (
	"context"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/internal/embedded"
	"github.com/drover-batch/drover/internal/ports"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/resilience"
)

// startRedis runs the container's own command, with its paths and port moved
// to where a test may write, and returns the address.
func startRedis(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("no redis-server on the PATH")
	}
	dir := t.TempDir()
	port, err := ports.Free()
	if err != nil {
		t.Fatal(err)
	}

	conf, err := os.ReadFile("config/redis.conf")
	if err != nil {
		t.Fatal(err)
	}
	moved := strings.NewReplacer("/etc/redis/redis.conf", dir+"/redis.conf", "/tmp/users.acl", dir+"/users.acl", "dir /data", "dir "+dir, "port 6379", "port "+port+"\nbind 127.0.0.1")
	if err := os.WriteFile(filepath.Join(dir, "redis.conf"), []byte(moved.Replace(string(conf))), 0o600); err != nil {
		t.Fatal(err)
	}
	s := service(t, project(t), "redis")
	command := moved.Replace(strings.ReplaceAll(s.Command[2], "$$", "$"))
	cmd := exec.Command(s.Command[0], s.Command[1], command)
	cmd.Env = append(os.Environ(), "REDIS_PASSWORD="+*s.Environment["REDIS_PASSWORD"])
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var said strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(said.String(), "Ready to accept connections") {
		n, err := stdout.Read(buf)
		said.Write(buf[:n])
		if err != nil {
			t.Fatalf("redis-server does not start: %s", said.String())
		}
	}
	return "127.0.0.1:" + port
}

func TestRedisServesDroverAndNobodyElse(t *testing.T) {
	t.Parallel()
	ctx, addr := t.Context(), startRedis(t)
	client, note, err := embedded.ConnectRedis(ctx, embedded.RedisOptions{URL: "redis://" + addr, User: "drover", Password: jobs.NewSecret("everybodys")})
	if err != nil || note != "" {
		t.Fatalf("joining as drover: note %q, error %v", note, err)
	}
	t.Cleanup(func() { _ = client.Close() })

	if note := embedded.PersistenceNote(ctx, client); note != "" {
		t.Errorf("the shipped Redis is warned of: %q", note)
	}
	passTheGate(t, client)
	raiseTheLimit(t, client)

	for _, forbidden := range [][]any{
		{"GET", "somebody-elses"}, {"FLUSHALL"}, {"CONFIG", "GET", "*"}, {"KEYS", "*"}, {"ACL", "LIST"},
		{"SHUTDOWN", "NOSAVE"}, {"EVAL", "return redis.call('GET', 'somebody-elses')", "0"},
	} {
		if err := client.Do(ctx, forbidden...).Err(); !redis.IsPermissionError(err) && !strings.Contains(fmt.Sprint(err), "can't access") {
			t.Errorf("drover may run %v: %v", forbidden, err)
		}
	}
	_, _, err = embedded.ConnectRedis(ctx, embedded.RedisOptions{URL: "redis://" + addr})
	if err == nil || !strings.Contains(err.Error(), "does not accept") {
		t.Errorf("error = %v; Redis lets in whoever comes", err)
	}
}

// passTheGate makes one call with all guards on, over sums that have to be
// built first, as the user of the client.
func passTheGate(t *testing.T, client redis.UniversalClient) {
	t.Helper()
	ledger, err := budget.New(budget.Config{Budgets: []budget.Budget{{Tenant: "acme", Window: "day", Limit: jobs.Dollar}}})
	if err != nil {
		t.Fatal(err)
	}
	var gate *resilience.Gate
	nothing := iter.Seq2[jobs.Spend, error](func(func(jobs.Spend, error) bool) {})
	gate = resilience.NewGate(resilience.GateConfig{
		Redis: client, Worker: "w-1",
		Guards: []resilience.Guard{
			resilience.NewBreaker(resilience.BreakerConfig{}), ledger,
			resilience.NewLimiter(resilience.LimiterConfig{Quotas: map[string]resilience.Quota{"m": {RequestsPerMinute: 60, Concurrent: 1}}}),
		},
		Rebuild: func(ctx context.Context) error {
			return ledger.Rebuild(ctx, client, gate.Script(), budget.Records{Book: nothing})
		},
		OnError: func(err error) { t.Errorf("the gate: %v", err) },
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { gate.Run(ctx); close(done) }()
	defer func() { stop(); <-done }()

	model := &jobs.Model{Name: "m", Quota: "m", Timeout: time.Second, Price: &jobs.Price{Input: 1, Output: 1}}
	call := &jobs.Call{ID: "c-1", Worker: "w-1", Job: "j-1", Run: 1, Batch: "b-1", Tenant: "acme", Model: model, Input: 10, Output: 10, Worst: 20}
	pass, err := gate.Enter(ctx, call)
	if err != nil || pass.Refusal != nil {
		t.Fatalf("entering: %+v, %v", pass, err)
	}
	if err := gate.Leave(ctx, call, &jobs.Attempt{Call: "c-1", Billing: jobs.Billed, Cost: 7}); err != nil {
		t.Fatalf("leaving: %v", err)
	}
}

// raiseTheLimit looks at a budget, is told of its alert and sets its limit, as
// the user of the client.
func raiseTheLimit(t *testing.T, client redis.UniversalClient) {
	t.Helper()
	ledger, err := budget.New(budget.Config{Budgets: []budget.Budget{{Name: "acme", Limit: jobs.Dollar}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := ledger.SetLimit(t.Context(), client, "budget:acme", 2*jobs.Dollar); err != nil {
		t.Errorf("setting a limit: %v", err)
	}
	sums, err := ledger.Sums(t.Context(), client, "budget:acme")
	if err != nil || len(sums) != 1 || sums[0].Limit != 2*jobs.Dollar || !sums[0].Set {
		t.Errorf("looking at it: %+v, %v", sums, err)
	}
	call := &jobs.Call{ID: "c-2", Batch: "b-1", Model: &jobs.Model{Name: "m"}, Worst: 2 * jobs.Dollar}
	if fits, err := ledger.Fits(t.Context(), client, call); err != nil || !fits {
		t.Errorf("looking whether a call fits: %v, %v", fits, err)
	}
	if err := ledger.Alerts(t.Context(), client, func(budget.Alert) error { return nil }); err != nil {
		t.Errorf("looking for alerts: %v", err)
	}
}

func TestRedisForgetsNothing(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("config/redis.conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"appendonly yes", "appendfsync always", "maxmemory-policy noeviction", "dir /data"} {
		if !strings.Contains(string(data), "\n"+line+"\n") {
			t.Errorf("redis.conf does not say %q", line)
		}
	}
}
