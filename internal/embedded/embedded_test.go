package embedded_test

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server/ats"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/drover-batch/drover/internal/embedded"
	"github.com/drover-batch/drover/internal/redistest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("DROVER_TEST_HOLD"); dir != "" {
		hold(dir)
		return
	}
	ats.Register()
	leaks := goleak.IgnoreCurrent()
	code := redistest.Main(m)
	if err := goleak.Find(leaks); err != nil && code == 0 {
		println(err.Error())
		code = 1
	}
	os.Exit(code)
}

// hold is what the other process of TestFolderBelongsToOneProcess does.
func hold(dir string) {
	n, err := embedded.StartNATS(embedded.NATSConfig{Dir: dir})
	if err != nil {
		println(err.Error())
		os.Exit(1)
	}
	println("holding")
	_, _ = os.Stdin.Read(make([]byte, 1))
	_ = n.Close()
}

func startNATS(t *testing.T, cfg embedded.NATSConfig) *embedded.NATS {
	t.Helper()
	n, err := embedded.StartNATS(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func startRedis(t *testing.T, cfg embedded.RedisConfig) *embedded.Redis {
	t.Helper()
	r, err := embedded.StartRedis(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// refuses checks that an error says everything it should and no password.
func refuses(t *testing.T, err error, says ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one that says %q", says)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q does not say %q", err, s)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %q shows the password", err)
	}
}

func TestWritesSurviveARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := startNATS(t, embedded.NATSConfig{Dir: dir})
	publish(t, n, "work.1")
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = startNATS(t, embedded.NATSConfig{Dir: dir})
	if got := publish(t, n, "work.2"); got != 2 {
		t.Errorf("the first message after the restart has sequence %d, want 2", got)
	}
}

func publish(t *testing.T, n *embedded.NATS, subject string) uint64 {
	t.Helper()
	js := withStream(t, n, jetstream.StreamConfig{Name: "WORK", Subjects: []string{"work.>"}})
	defer js.Conn().Close()
	ack, err := js.Publish(t.Context(), subject, nil)
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

func TestFolderThatSetMoreAsideThanThereIsNowCanBeUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const before, now = 64 << 20, 8 << 20 // the room on the disk
	n, err := embedded.StartNATS(embedded.NATSConfig{Dir: dir, MaxStore: before})
	if err != nil {
		t.Fatal(err)
	}
	setAside(t, n, n.Room()/2)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = startNATS(t, embedded.NATSConfig{Dir: dir, MaxStore: now})
	if n.Room() != now {
		t.Errorf("there is room for %d bytes, want %d", n.Room(), now)
	}
	setAside(t, n, n.Room()/2)
}

// setAside has a stream set so much aside.
func setAside(t *testing.T, n *embedded.NATS, bytes int64) {
	t.Helper()
	withStream(t, n, jetstream.StreamConfig{Name: "JOBS", MaxBytes: bytes}).Conn().Close()
}

// withStream makes a stream, or changes it, over a connection of its own.
func withStream(t *testing.T, n *embedded.NATS, cfg jetstream.StreamConfig) jetstream.JetStream {
	t.Helper()
	nc, err := n.Connect()
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateOrUpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	return js
}

func TestFolderBelongsToOneProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), "DROVER_TEST_HOLD="+dir)
	stdin, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := other.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 7)
	if _, err := stderr.Read(buf); err != nil || string(buf) != "holding" {
		t.Fatalf("the other process says %q, %v", buf, err)
	}
	_, err = embedded.StartNATS(embedded.NATSConfig{Dir: dir})
	refuses(t, err, dir, "in use by process "+strconv.Itoa(other.Process.Pid), "--data")

	// Its death frees the folder, whatever it left behind.
	_ = other.Process.Kill()
	_ = stdin.Close()
	_ = other.Wait()
	startNATS(t, embedded.NATSConfig{Dir: dir})
}

func TestTakenPortIsNamed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	taken := l.Addr().String()
	_, err = embedded.StartNATS(embedded.NATSConfig{Dir: t.TempDir(), Listen: taken})
	refuses(t, err, taken, "already in use")
	_, err = embedded.StartRedis(embedded.RedisConfig{Listen: taken})
	refuses(t, err, taken, "already in use")
}

func TestUnusableStoreIsToldAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/nats", []byte("a file, not a folder"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := embedded.StartNATS(embedded.NATSConfig{Dir: dir})
	refuses(t, err, dir, "starting the embedded NATS server")
	// The failed start let go of the folder.
	if err := os.Remove(dir + "/nats"); err != nil {
		t.Fatal(err)
	}
	startNATS(t, embedded.NATSConfig{Dir: dir})
}

func TestBothServersLiveInABubblesTime(t *testing.T) {
	r := startRedis(t, embedded.RedisConfig{Driven: true})
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n, err := embedded.StartNATS(embedded.NATSConfig{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = n.Close() }()
		publish(t, n, "work.1")

		client := r.Client()
		defer func() { _ = client.Close() }()
		client.Set(t.Context(), "long", "1", 24*time.Hour)
		client.Set(t.Context(), "short", "1", time.Minute)
		time.Sleep(time.Hour)
		if got := client.Time(t.Context()).Val(); !got.Equal(time.Now()) {
			t.Errorf("the server's time is %v, the bubble's %v", got, time.Now())
		}
		if keys := client.Keys(t.Context(), "*").Val(); len(keys) != 1 || keys[0] != "long" {
			t.Errorf("after an hour the keys are %q, want only the long one", keys)
		}
	})
}

func TestKeysStillExpireAfterTheClockWentBack(t *testing.T) {
	t.Parallel()
	r := startRedis(t, embedded.RedisConfig{Driven: true})
	client := r.Client()
	defer func() { _ = client.Close() }()
	now := time.Now()
	r.SetTime(now.Add(time.Hour))
	client.Set(t.Context(), "k", "1", time.Minute) // back to now
	r.SetTime(now.Add(2 * time.Minute))
	if client.Exists(t.Context(), "k").Val() != 0 {
		t.Error("the key outlives its minute")
	}
}
