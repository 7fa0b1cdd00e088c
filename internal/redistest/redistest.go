// Package redistest starts real Redis servers for a test, alone, as a cluster
// or watched by Sentinels: what the guards' Lua does is shown on them as well
// as on the embedded server.
//
// They are the redis-server and the valkey-server on the PATH, or those that
// $REDIS_SERVER and $VALKEY_SERVER name. Where there is none, the test is
// skipped.
package redistest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Each runs the test on each kind of real server that the guards have to work
// on: Redis, a cluster of three, and Valkey. The client is the test's own.
func Each(t *testing.T, test func(t *testing.T, rdb redis.UniversalClient)) {
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		test(t, Client(t, Start(t)))
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		test(t, Client(t, SharedCluster(t)...))
	})
	t.Run("valkey", func(t *testing.T) {
		t.Parallel()
		s := &Server{path: program(t, "valkey-server"), Addr: t.TempDir() + "/s"}
		s.launch(t)
		test(t, Client(t, s.Addr))
	})
}

// Client connects to a server, or to the nodes of a cluster, as Drover does,
// until the end of the test.
func Client(t testing.TB, addrs ...string) redis.UniversalClient {
	rdb := Connect(addrs...)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// Connect is Client for who closes it.
func Connect(addrs ...string) redis.UniversalClient {
	return redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: addrs, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true, DisableIdentity: true, PoolSize: 16,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// OnAll runs f on the server, or on each master of the cluster in turn.
func OnAll(rdb redis.UniversalClient, f func(redis.UniversalClient) error) error {
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		return f(rdb)
	}
	var turn sync.Mutex
	return cluster.ForEachMaster(context.Background(), func(_ context.Context, node *redis.Client) error {
		turn.Lock()
		defer turn.Unlock()
		return f(node)
	})
}

// Start starts a server and returns its socket. The server ends with the test.
func Start(t testing.TB) (socket string) {
	t.Helper()
	return Run(t).Addr
}

// Run is Start for a test that restarts its server.
func Run(t testing.TB) *Server {
	t.Helper()
	s := &Server{path: program(t, "redis-server"), Addr: t.TempDir() + "/s"}
	s.launch(t)
	return s
}

// launch starts the server until the end of the test.
func (s *Server) launch(t testing.TB) {
	t.Helper()
	s.dir = filepath.Dir(s.Addr)
	s.args = []string{"--port", "0", "--unixsocket", s.Addr, "--save", "", "--appendonly", "yes", "--appendfsync", "no"}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
}

// Installed reports whether Start has a server to start.
func Installed() bool {
	_, err := find("redis-server")
	return err == nil
}

// program finds a server, or skips the test.
func program(t testing.TB, name string) string {
	t.Helper()
	path, err := find(name)
	if err != nil {
		t.Skip(err)
	}
	return path
}

func find(name string) (path string, err error) {
	variable := strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	if path = os.Getenv(variable); path != "" {
		return path, nil
	}
	if path, err = exec.LookPath(name); err != nil {
		return "", fmt.Errorf("no %s on the PATH or in $%s", name, variable)
	}
	return path, nil
}
