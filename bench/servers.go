package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/drover-batch/drover/bench/process"
	"github.com/drover-batch/drover/internal/ports"
)

// kind is which servers a measurement runs on.
type kind int

const (
	embeddedOnes kind = iota // in the worker, every write synced
	realSynced               // processes, every write synced
	realUnsynced
)

func (k kind) String() string {
	return [...]string{"embedded servers, fsynced", "NATS and Redis, fsynced", "NATS and Redis, not fsynced"}[k]
}

// findServers looks for the programs. Without them only the embedded servers
// are measured.
func (b *bench) findServers() error {
	for _, p := range []struct {
		name, variable string
		path           *string
	}{
		{"nats-server", "NATS_SERVER", &b.nats},
		{"redis-server", "REDIS_SERVER", &b.redis},
		{"postgres", "POSTGRES", &b.postgres},
	} {
		path, err := exec.LookPath(cmp.Or(os.Getenv(p.variable), p.name))
		if err != nil && p.name == "postgres" && os.Getenv(p.variable) == "" {
			path, err = debianPostgres()
		}
		switch {
		case err == nil:
			*p.path = path
		case os.Getenv(p.variable) != "":
			return fmt.Errorf("$%s: %w", p.variable, err)
		default:
			b.say("no %s on the PATH nor in $%s: its lines are left out", p.name, p.variable)
		}
	}
	return nil
}

// kinds are the servers there are, out of those wanted. A short run leaves out
// those that do not sync, as nobody should run them.
func (b *bench) kinds(wanted ...kind) []kind {
	return slices.DeleteFunc(wanted, func(k kind) bool {
		return k != embeddedOnes && (b.nats == "" || b.redis == "") || b.short && k == realUnsynced
	})
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.notes, format+"\n", args...)
}

// folder makes a new one for one measurement.
func (b *bench) folder() (string, error) {
	b.started++
	dir := filepath.Join(b.dir, strconv.Itoa(b.started))
	return dir, os.Mkdir(dir, 0o700)
}

// stand is what one measurement runs on.
type stand struct {
	task
	ends []func() error
}

func (s *stand) close() error {
	var errs []error
	for _, end := range slices.Backward(s.ends) {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}

// measure has the task done by a process of its own, on servers of its own,
// and takes everything down again.
func (b *bench) measure(ctx context.Context, k kind, model *task, t task) (r *report, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.patience())
	defer cancel()
	s, err := b.stand(t)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	s.Sync = k != realUnsynced
	if k != embeddedOnes {
		if err := b.startServers(ctx, s); err != nil {
			return nil, err
		}
	}
	if model != nil {
		if err := s.startModel(ctx, *model); err != nil {
			return nil, err
		}
	}
	if b.profile != "" {
		s.Profile = b.profile + "." + strconv.Itoa(b.started)
	}
	p, err := launch(ctx, &s.task)
	if err != nil {
		return nil, err
	}
	r, err = p.report()
	if err != nil {
		return nil, err
	}
	return r, p.stop()
}

// stand has a folder of its own, and nothing in it yet.
func (b *bench) stand(t task) (*stand, error) {
	dir, err := b.folder()
	if err != nil {
		return nil, err
	}
	s := &stand{task: t, ends: []func() error{func() error { return os.RemoveAll(dir) }}}
	s.Data, s.Others = dir, map[string]int{}
	return s, nil
}

// patience is how long a task may take, at 200 jobs a second.
func (t *task) patience() time.Duration {
	return 10*time.Minute + time.Duration(t.Jobs)*5*time.Millisecond
}

func (s *stand) startModel(ctx context.Context, model task) error {
	model.Role = "model"
	p, err := launch(ctx, &model)
	if err != nil {
		return err
	}
	r, err := p.report()
	if err != nil {
		return err
	}
	s.ends = append(s.ends, p.stop)
	s.Model, s.CA, s.Others["model"] = r.URL, r.CA, p.cmd.Process.Pid
	return nil
}

func (b *bench) startServers(ctx context.Context, s *stand) error {
	if err := s.serve("nats", &s.NATS)(b.startNATS(ctx, s.Data, s.Sync)); err != nil {
		return err
	}
	return s.serve("redis", &s.Redis)(b.startRedis(ctx, s.Data, s.Sync))
}

// serve takes a server in: its CPU counts, its address goes where it is wanted.
func (s *stand) serve(name string, url *string) func(*program, error) error {
	return func(p *program, err error) error {
		if err != nil {
			return err
		}
		s.ends = append(s.ends, p.stop)
		s.Others[name], *url = p.cmd.Process.Pid, p.url
		return nil
	}
}

func (b *bench) startNATS(ctx context.Context, dir string, sync bool) (*program, error) {
	interval := "2m"
	if sync {
		interval = "always"
	}
	file := filepath.Join(dir, "nats.conf")
	text := fmt.Sprintf("server_name: bench\njetstream { store_dir: %q, sync_interval: %s }\n", filepath.Join(dir, "nats"), interval)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("configuring nats-server: %w", err)
	}
	port, err := ports.Free()
	if err != nil {
		return nil, err
	}
	return start(ctx, "nats://", port, b.nats, "-c", file, "-a", "127.0.0.1", "-p", port)
}

func (b *bench) startRedis(ctx context.Context, dir string, sync bool) (*program, error) {
	port, err := ports.Free()
	if err != nil {
		return nil, err
	}
	keep := []string{"--appendonly", "no"}
	if sync {
		keep = []string{"--appendonly", "yes", "--appendfsync", "always"}
	}
	args := append([]string{"--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "", "--maxmemory-policy", "noeviction"}, keep...)
	return start(ctx, "redis://", port, b.redis, args...)
}

// start runs a server and returns once it takes connections.
func start(ctx context.Context, scheme, port, name string, args ...string) (*program, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = process.Mortal()
	return await(ctx, cmd, scheme, port)
}

func await(ctx context.Context, cmd *exec.Cmd, scheme, port string) (*program, error) {
	p := &program{cmd: cmd, url: scheme + net.JoinHostPort("127.0.0.1", port), end: os.Kill}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	for range 200 {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
		if err == nil {
			return p, c.Close()
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), p.stop())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil, errors.Join(fmt.Errorf("%s takes no connections on port %s", cmd.Path, port), p.stop())
}
