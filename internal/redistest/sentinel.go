package redistest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Watched is a master with one replica, watched by a Sentinel that lets the
// replica take over two seconds or so after the master's end.
type Watched struct {
	Name                      string // of the master
	Sentinel, Master, Replica *Server
}

// StartWatched starts them until the end of the test. password, unless it is
// empty, is the servers'; the Sentinel has another, of the same with a "!".
func StartWatched(t testing.TB, password string) *Watched {
	t.Helper()
	path, dir := program(t, "redis-server"), t.TempDir()
	run := func(name string, args ...string) *Server {
		t.Helper()
		if password != "" && name != "sentinel" {
			args = append(args, "--requirepass", password, "--masterauth", password)
		}
		s, err := listen(path, filepath.Join(dir, name), "--port", args...)
		if err != nil {
			t.Fatal(err)
		}
		s.password = password
		t.Cleanup(s.Kill)
		return s
	}
	fast := []string{"--repl-diskless-sync-delay", "0"}
	w := &Watched{Name: "mymaster", Master: run("master", fast...)}
	host, port, _ := strings.Cut(w.Master.Addr, ":")
	w.Replica = run("replica", append(fast, "--replicaof", host+" "+port)...)
	if err := w.Replica.until(linked); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf("sentinel monitor %s %s %s 1\nsentinel down-after-milliseconds %s 1000\nsentinel failover-timeout %s 3000\n",
		w.Name, host, port, w.Name, w.Name)
	if password != "" {
		conf += fmt.Sprintf("sentinel auth-pass %s %s\nrequirepass %s!\n", w.Name, password, password)
	}
	folder := filepath.Join(dir, "sentinel")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "sentinel.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	w.Sentinel = run("sentinel", "sentinel.conf", "--sentinel")
	if password != "" {
		w.Sentinel.password = password + "!"
	}
	if err := w.Sentinel.until(func(ctx context.Context, node *redis.Client) bool {
		known, _ := node.Do(ctx, "sentinel", "replicas", w.Name).Slice()
		return len(known) == 1
	}); err != nil {
		t.Fatal(err)
	}
	return w
}
