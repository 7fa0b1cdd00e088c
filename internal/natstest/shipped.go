package natstest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// Shipped starts the server of a configuration that is shipped, on loopback and
// with a store of its own, until the end of the test. The password of each of its
// users is the user's name.
func Shipped(t testing.TB, file string) *server.Server {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	named := strings.NewReplacer("$NATS_ADMIN_PASSWORD", "admin", "$NATS_ENQUEUE_PASSWORD", "enqueue", "$NATS_WORKER_PASSWORD", "worker")
	ours := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(ours, []byte(named.Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	opts, err := server.ProcessConfigFile(ours)
	if err != nil {
		t.Fatal(err)
	}
	return Start(t, opts, Dir(t))
}

// Start starts the server of a configuration on loopback, with its store in a
// folder, until the end of the test.
func Start(t testing.TB, opts *server.Options, store string) *server.Server {
	t.Helper()
	opts.Host, opts.Port, opts.HTTPHost, opts.HTTPPort, opts.StoreDir = "127.0.0.1", server.RANDOM_PORT, "127.0.0.1", server.RANDOM_PORT, store
	opts.NoSigs, opts.NoLog = true, true
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}
