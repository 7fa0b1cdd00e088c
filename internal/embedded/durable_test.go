package embedded_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/embedded"
	"github.com/drover-batch/drover/jobs"
)

// outside starts a NATS server that is not ours, from a configuration, and
// returns its addresses for clients and for monitoring.
func outside(t *testing.T, syncs, more string) (url, monitor string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "nats.conf")
	conf := fmt.Sprintf("listen: '127.0.0.1:-1'\nhttp: '127.0.0.1:-1'\njetstream {\nstore_dir: %q\n%s\n}\n%s", dir, syncs, more)
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	opts, err := server.ProcessConfigFile(path)
	if err != nil {
		t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	return s.ClientURL(), "http://" + s.MonitorAddr().String()
}

const always = "sync_interval: always"

// exported lets the users of one account ask what only the system may know.
const exported = `
system_account: SYS
accounts {
  SYS { users: [{user: sys, password: s}], exports: [{service: "$SYS.REQ.SERVER.PING.JSZ"}] }
  APP { jetstream: true, users: [{user: app, password: a}], imports: [{service: {account: SYS, subject: "$SYS.REQ.SERVER.PING.JSZ"}}] }
}`

const denied = `authorization { users: [{user: app, password: a, permissions: {publish: "drover.>", subscribe: "_INBOX.>"}}] }`

func TestServerThatDoesNotSyncEveryWriteIsWarnedOf(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		syncs, more string
		monitored   bool
		want        string // "" for no note
	}{
		"monitored, always":      {always, "", true, ""},
		"monitored, by default":  {"", "", true, "its sync_interval is 2m0s"},
		"monitored, ten seconds": {"sync_interval: 10s", "", true, "its sync_interval is 10s"},
		"asked, always":          {always, exported, false, ""},
		"asked, by default":      {"", exported, false, "set sync_interval: always in the jetstream block"},
		"nobody to ask":          {always, "", false, "it could not be found out whether NATS syncs every write: "},
		"forbidden to ask":       {always, denied, false, "set nats.monitor to its monitoring address"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, monitor := outside(t, row.syncs, row.more)
			o := embedded.NATSOptions{URL: url}
			if row.more != "" {
				o.User, o.Password = "app", jobs.NewSecret("a")
			}
			if row.monitored {
				o.Monitor = monitor
			}
			began := time.Now()
			notes(t, embedded.SyncNote(t.Context(), o), row.want)
			if took := time.Since(began); took > 1500*time.Millisecond {
				t.Errorf("it took %v to find out", took)
			}
		})
	}
}

func TestMonitoringAddressThatHelpsNobodyIsTold(t *testing.T) {
	t.Parallel()
	url, monitor := outside(t, always, "")
	_, other := outside(t, always, "")
	for address, want := range map[string]string{
		other:                  "is the monitoring address of another NATS server",
		"http://127.0.0.1:1":   "(127.0.0.1:1: connection refused)",
		monitor + "/somewhere": "is not the monitoring address of a NATS server with JetStream",
		monitor + ", " + other: "is the monitoring address of another NATS server",
	} {
		notes(t, embedded.SyncNote(t.Context(), embedded.NATSOptions{URL: url, Monitor: address}), want)
	}
}

func TestRedisThatMayForgetIsWarnedOf(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		args []string
		want string
	}{
		"every write":    {[]string{"--appendonly", "yes", "--appendfsync", "always"}, ""},
		"every second":   {[]string{"--appendonly", "yes"}, "(appendfsync everysec)"},
		"snapshots only": {[]string{"--save", "60 1"}, "undoes what happened since its last snapshot, and nothing is asked until the sums are rebuilt from the book"},
		"nothing":        {nil, "forgets circuits and quotas"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts, err := redis.ParseURL(realRedis(t, row.args...))
			if err != nil {
				t.Fatal(err)
			}
			client := redis.NewClient(opts)
			defer func() { _ = client.Close() }()
			notes(t, embedded.PersistenceNote(t.Context(), client), row.want)
		})
	}
}

// A user of deploy/compose.yaml may ask INFO and not CONFIG.
func TestRedisUserWhoMayNotAskGetsNoWarningThatIsAGuess(t *testing.T) {
	t.Parallel()
	for allowed, want := range map[string]string{"+@all -config": "(appendonly no)", "+@all -config -info": ""} {
		opts, err := redis.ParseURL(realRedis(t))
		if err != nil {
			t.Fatal(err)
		}
		admin := redis.NewClient(opts)
		args := []any{"ACL", "SETUSER", "app", "on", ">hunter2", "~*"}
		for rule := range strings.FieldsSeq(allowed) {
			args = append(args, rule)
		}
		if err := admin.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
		_ = admin.Close()
		opts.Username, opts.Password = "app", "hunter2"
		client := redis.NewClient(opts)
		notes(t, embedded.PersistenceNote(t.Context(), client), want)
		_ = client.Close()
	}
}

// notes checks that a note says the words, in one line, or that there is none.
func notes(t *testing.T, note, want string) {
	t.Helper()
	if (want == "") != (note == "") || !strings.Contains(note, want) || strings.Contains(note, "\n") {
		t.Errorf("the note is %q, want %q", note, want)
	}
}
