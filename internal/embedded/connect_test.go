package embedded_test

import (
	"context"
	"errors"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/embedded"
	"github.com/drover-batch/drover/internal/natstest"
	"github.com/drover-batch/drover/internal/ports"
	"github.com/drover-batch/drover/jobs"
)

func TestOthersJoinWithThePasswordOnly(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	n := startNATS(t, embedded.NATSConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0", Password: "hunter2"})
	r := startRedis(t, embedded.RedisConfig{Password: "hunter2"})

	nc, note, err := embedded.ConnectNATS(ctx, embedded.NATSOptions{URL: n.URL()})
	if err != nil || note != "" {
		t.Fatalf("with the password: note %q, error %v", note, err)
	}
	nc.Close()
	client, note, err := embedded.ConnectRedis(ctx, embedded.RedisOptions{URL: r.URL()})
	if err != nil || note != "" {
		t.Fatalf("with the password: note %q, error %v", note, err)
	}
	_ = client.Close()

	wrong := jobs.NewSecret("not hunter2")
	_, _, err = embedded.ConnectNATS(ctx, embedded.NATSOptions{URL: strings.Replace(n.URL(), "hunter2", "wrong", 1)})
	refuses(t, err, "does not accept", `"drover"`, "NATS_PASSWORD")
	_, _, err = embedded.ConnectNATS(ctx, embedded.NATSOptions{URL: n.URL(), User: "eve", Password: wrong})
	refuses(t, err, "does not accept", `"eve"`)
	_, _, err = embedded.ConnectRedis(ctx, embedded.RedisOptions{URL: "redis://" + r.Addr()})
	refuses(t, err, r.Addr(), "does not accept", "REDIS_PASSWORD")
	_, _, err = embedded.ConnectRedis(ctx, embedded.RedisOptions{URL: r.URL(), Password: wrong})
	refuses(t, err, r.Addr(), "does not accept")
}

// TestConnectionOutlivesARefusedPassword has the password changed on the server,
// and changed back once the client was refused again and again.
func TestConnectionOutlivesARefusedPassword(t *testing.T) {
	t.Parallel()
	as := func(password string, port int) *server.Options {
		return &server.Options{Host: "127.0.0.1", Port: port, Username: "w", Password: password, JetStream: true, StoreDir: natstest.Dir(t), NoLog: true, NoSigs: true}
	}
	o := as("old", server.RANDOM_PORT)
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })

	refused, back, closed := make(chan error, 8), make(chan struct{}, 1), make(chan struct{}, 1)
	nc, _, err := embedded.ConnectNATS(t.Context(), embedded.NATSOptions{URL: s.ClientURL(), User: "w", Password: jobs.NewSecret("old"), More: []nats.Option{
		nats.ReconnectWait(10 * time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			select {
			case refused <- err:
			default:
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { back <- struct{}{} }),
		nats.ClosedHandler(func(*nats.Conn) { closed <- struct{}{} }),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	reload := func(password string) {
		n := o.Clone()
		n.Password = password
		if err := s.ReloadOptions(n); err != nil {
			t.Fatal(err)
		}
	}
	reload("new")
	for range 5 {
		select {
		case err := <-refused:
			if !errors.Is(err, nats.ErrAuthorization) {
				t.Fatal(err)
			}
		case <-closed:
			t.Fatal("the connection has given up")
		}
	}
	reload("old")
	select {
	case <-back:
	case <-closed:
		t.Fatal("the connection has given up")
	}
}

func TestUnreachableServersSayWhatToStart(t *testing.T) {
	t.Parallel()
	port, err := ports.Free()
	if err != nil {
		t.Fatal(err)
	}
	addr := "127.0.0.1:" + port

	_, _, err = embedded.ConnectNATS(t.Context(), embedded.NATSOptions{URL: "nats://me:hunter2@" + addr})
	refuses(t, err, "cannot reach NATS at nats://"+addr+": connection refused", "up -d nats", "worker --embedded")
	_, _, err = embedded.ConnectRedis(t.Context(), embedded.RedisOptions{URL: "redis://me:hunter2@" + addr})
	refuses(t, err, "cannot reach Redis at redis://"+addr+": connection refused", "up -d redis", "worker --embedded")
}

func TestSilentServersAreNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, _, err = embedded.ConnectNATS(ctx, embedded.NATSOptions{URL: l.Addr().String()})
	refuses(t, err, "did not answer in time")
	_, _, err = embedded.ConnectRedis(ctx, embedded.RedisOptions{URL: l.Addr().String()})
	refuses(t, err, "did not answer in time")
}

func TestMalformedAddressesAreNotRepeated(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"nats://me:hunter2%zz@host", "http://me:hunter2@host", "nats://me:hunter2/x@host:4222", "redis://me:hunter2@", "nats://a:1,"} {
		_, _, err := embedded.ConnectNATS(t.Context(), embedded.NATSOptions{URL: url})
		refuses(t, err, "address of NATS")
		_, _, err = embedded.ConnectRedis(t.Context(), embedded.RedisOptions{URL: strings.Replace(url, "nats:", "redis:", 1)})
		refuses(t, err, "Redis")
	}
	_, _, err := embedded.ConnectRedis(t.Context(), embedded.RedisOptions{URL: "redis://me:hunter2@127.0.0.1:1/first"})
	refuses(t, err, "redis://127.0.0.1:1", `"first"`, "number of a database")
}

func TestNATSWithoutJetStreamIsRefused(t *testing.T) {
	t.Parallel()
	s := runNATS(t, &server.Options{})
	_, _, err := embedded.ConnectNATS(t.Context(), embedded.NATSOptions{URL: s.ClientURL()})
	refuses(t, err, "without JetStream", "deploy/config/nats.conf")
}

// runNATS runs a server of somebody else's until the end of the test.
func runNATS(t *testing.T, o *server.Options) *server.Server {
	t.Helper()
	o.Host, o.Port, o.NoSigs, o.NoLog = "127.0.0.1", server.RANDOM_PORT, true, true
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(5 * time.Second) {
		t.Fatal("the server does not start")
	}
	return s
}

func TestRedisThatMayEvictIsRefused(t *testing.T) {
	t.Parallel()
	url := realRedis(t)
	opts, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	admin := redis.NewClient(opts)
	defer func() { _ = admin.Close() }()
	connect := func(o embedded.RedisOptions) (string, error) {
		client, note, err := embedded.ConnectRedis(t.Context(), o)
		if err == nil {
			_ = client.Close()
		}
		return note, err
	}
	if note, err := connect(embedded.RedisOptions{URL: url}); err != nil || note != "" {
		t.Errorf("a Redis that never evicts: note %q, error %v", note, err)
	}
	if err := admin.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	_, err = connect(embedded.RedisOptions{URL: url})
	refuses(t, err, "may drop keys", "allkeys-lru", "set maxmemory-policy to noeviction")

	if err := admin.Do(t.Context(), "ACL", "SETUSER", "blind", "on", ">hunter2", "~*", "+@all", "-info").Err(); err != nil {
		t.Fatal(err)
	}
	note, err := connect(embedded.RedisOptions{URL: url, User: "blind", Password: jobs.NewSecret("hunter2")})
	if err != nil || !strings.Contains(note, "noeviction") {
		t.Errorf("a Redis that does not tell: note %q, error %v; want a note", note, err)
	}
}

// realRedis starts redis-server on a unix socket's worth of nothing: memory
// only, on a port of its own.
func realRedis(t *testing.T, more ...string) (url string) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("no redis-server on the PATH")
	}
	port, err := ports.Free()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir(), "--daemonize", "no"}, more...)...)
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
	var seen strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(seen.String(), "Ready to accept connections") {
		n, err := stdout.Read(buf)
		seen.Write(buf[:n])
		if err != nil {
			t.Fatalf("redis-server does not start: %s", seen.String())
		}
	}
	return "redis://127.0.0.1:" + port
}

func TestEndpointsAreFoundOnlyWhileTheirServersLive(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	find := func() (embedded.Endpoints, bool) {
		t.Helper()
		e, ok, err := embedded.FindEndpoints(ctx, dir)
		if err != nil {
			t.Fatal(err)
		}
		return e, ok
	}
	if _, ok := find(); ok {
		t.Error("found endpoints in an empty folder")
	}
	n := startNATS(t, embedded.NATSConfig{Dir: dir, Listen: "127.0.0.1:0", Password: "hunter2"})
	r := startRedis(t, embedded.RedisConfig{Password: "hunter2"})
	if err := embedded.WriteEndpoints(dir, n, r); err != nil {
		t.Fatal(err)
	}
	e, ok := find()
	if !ok || e.NATS != n.URL() || e.Redis != r.URL() {
		t.Errorf("found %+v, %v; want both URLs", e, ok)
	}

	// As after a kill -9, with another server on the same port.
	addr := strings.TrimPrefix(n.URL(), "nats://drover:hunter2@")
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok := find(); ok {
		t.Error("found endpoints of a server that is gone")
	}
	startNATS(t, embedded.NATSConfig{Dir: t.TempDir(), Listen: addr})
	if _, ok := find(); ok {
		t.Error("took somebody else's server for ours")
	}

	if err := embedded.RemoveEndpoints(dir); err != nil {
		t.Fatal(err)
	}
	if err := embedded.RemoveEndpoints(dir); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
}
