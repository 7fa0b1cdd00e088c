package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience bounds every wait for something that must happen.
const patience = 60 * time.Second

// process is a program that a script runs in the background.
type process struct {
	cmd    *exec.Cmd
	ended  chan struct{} // closed once it has, and all its output is here
	stdout bytes.Buffer
	stderr bytes.Buffer

	mu    sync.Mutex
	lines []string
	news  chan struct{} // closed at the next line
	read  int           // how many lines await is through with
}

func start(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, len(args) > 1, "start NAME PROGRAM ARG…")
	program, err := lookPath(ts.Getenv("PATH"), args[1])
	ts.Check(err)
	p := &process{cmd: exec.Command(program, args[2:]...), ended: make(chan struct{}), news: make(chan struct{})}
	p.cmd.Dir = ts.MkAbs(".")
	p.cmd.Env = environ(ts)
	stdout, err := p.cmd.StdoutPipe()
	ts.Check(err)
	stderr, err := p.cmd.StderrPipe()
	ts.Check(err)
	ts.Check(p.cmd.Start())
	var reading sync.WaitGroup
	reading.Go(func() { p.listen(stdout, &p.stdout) })
	reading.Go(func() { p.listen(stderr, &p.stderr) })
	go func() {
		reading.Wait()
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	worldOf(ts).processes[args[0]] = p
	ts.Defer(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if testing.Verbose() {
			ts.Logf("[%s]\n%s%s", args[0], &p.stdout, &p.stderr)
		}
	})
}

// lookPath finds a program on the script's PATH rather than on the test's.
func lookPath(path, name string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		if file, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return file, nil
		}
	}
	return exec.LookPath(name)
}

// environ is the script's environment, as far as programs of ours look at it.
func environ(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{
		"PATH", "HOME", "TMPDIR", "OPENAI_API_KEY", "NATS_URL", "REDIS_URL",
		"DROVER_WORKER_GRACE", "DROVER_WORKER_LEASE", "DROVER_WORKER_HTTP", "DROVER_WORKER_SLOTS",
		"DROVER_RETRY_BASE", "DROVER_RETRY_MAX", "DROVER_CONFIG",
		"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_HEADERS",
	} {
		if value := ts.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func (p *process) listen(r io.Reader, all *bytes.Buffer) {
	for s := bufio.NewScanner(r); s.Scan(); {
		all.WriteString(s.Text() + "\n")
		p.mu.Lock()
		p.lines = append(p.lines, s.Text())
		close(p.news)
		p.news = make(chan struct{})
		p.mu.Unlock()
	}
}

// next blocks until there is a line that has not been read, and reports false
// if there will be none.
func (p *process) next(ctx context.Context) (line string, ok bool) {
	for {
		p.mu.Lock()
		news := p.news
		if p.read < len(p.lines) {
			p.read++
			line, ok = p.lines[p.read-1], true
		}
		p.mu.Unlock()
		if ok {
			return line, true
		}
		select {
		case <-news:
		case <-p.ended:
			if p.mu.Lock(); p.read == len(p.lines) {
				p.mu.Unlock()
				return "", false
			}
			p.mu.Unlock()
		case <-ctx.Done():
			return "", false
		}
	}
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, len(args) == 2, "await NAME PATTERN")
	p, pattern := worldOf(ts).find(ts, args[0]), regexp.MustCompile(args[1])
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		line, ok := p.next(ctx)
		if !ok {
			ts.Fatalf("%s never said %q; it said %q", args[0], args[1], p.lines)
		}
		if found := pattern.FindStringSubmatch(line); found != nil {
			for i, name := range pattern.SubexpNames() {
				if name != "" {
					ts.Setenv(name, found[i])
				}
			}
			return
		}
	}
}

func send(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "KILL": os.Kill}
	use(ts, neg, len(args) == 2 && signals[args[1]] != nil, "signal NAME INT|TERM|KILL")
	err := worldOf(ts).find(ts, args[0]).cmd.Process.Signal(signals[args[1]])
	if !errors.Is(err, os.ErrProcessDone) {
		ts.Check(err)
	}
}

func ends(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, len(args) == 2, "ends NAME CODE")
	p := worldOf(ts).find(ts, args[0])
	select {
	case <-p.ended:
	case <-time.After(patience):
		ts.Fatalf("%s does not end; it said %q", args[0], p.lines)
	}
	_, _ = ts.Stdout().Write(p.stdout.Bytes())
	_, _ = ts.Stderr().Write(p.stderr.Bytes())
	if code := p.cmd.ProcessState.ExitCode(); strconv.Itoa(code) != args[1] {
		ts.Fatalf("%s ended with exit code %d, not %s", args[0], code, args[1])
	}
}

func (w *world) find(ts *testscript.TestScript, name string) *process {
	p := w.processes[name]
	if p == nil {
		ts.Fatalf("nothing called %s was started", name)
	}
	return p
}
