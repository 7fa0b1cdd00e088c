package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// peer is a system of others that does the same work, without guards.
type peer struct {
	name    string
	program *string // its server; empty if there is none
	start   func(ctx context.Context, dir string, sync bool) (*program, error)
	server  string // whose CPU counts
}

// peers is Drover and what others do the same work with, in turn: the same
// number of jobs of the same size, enqueued already, and the same calls.
func (b *bench) peers(ctx context.Context) error {
	b.table.heading(fmt.Sprintf("Drover with every guard on and its peers without any, jobs of %s bytes", number(large)))
	path, err := b.buildPeers(ctx)
	if err != nil {
		b.say("peers: left out, as they cannot be built: %v", err)
		return nil
	}
	all := []peer{
		{"asynq", &b.redis, b.startRedis, "redis"},
		{"river", &b.postgres, b.startPostgres, "postgres"},
	}
	for _, k := range b.kinds(realSynced, realUnsynced) {
		for _, slots := range b.most([]int{64, 256}) {
			t := task{Role: "work", Jobs: b.fewer(20_000, 3_000), Slots: slots, Body: large, Sync: k == realSynced}
			sides, names := []side{b.side(k, &task{}, t)}, []string{"Drover"}
			for _, p := range all {
				if *p.program != "" {
					names = append(names, p.name)
					sides = append(sides, b.peer(path, p, t))
				}
			}
			best, err := b.best(ctx, sides...)
			if err != nil {
				return err
			}
			b.compare(k, slots, names, best)
		}
	}
	return nil
}

// compare adds the lines; Drover's comes first.
func (b *bench) compare(k kind, slots int, names []string, best []*report) {
	durable := "not fsynced"
	if k == realSynced {
		durable = "fsynced"
	}
	own, fastest := best[0].Answered, 1
	for i, r := range best {
		if i > 0 && r.Answered.rate() > best[fastest].Answered.rate() {
			fastest = i
		}
		what := fmt.Sprintf("%s: %d in flight, %s", names[i], slots, durable)
		b.table.add(row{what, perSecond(r.Answered, "jobs"), r.Answered, share(r.Answered.rate(), own.rate(), "Drover's rate")})
	}
	if len(best) == 1 {
		return
	}
	peer := best[fastest].Answered
	rate, cpu := own.rate()/peer.rate(), own.cpuEach()/peer.cpuEach()
	b.table.add(row{
		what:   fmt.Sprintf("Drover ÷ %s: %d in flight, %s", names[fastest], slots, durable),
		figure: fmt.Sprintf("%.2f times the rate", rate), ratio: fmt.Sprintf("%.2f times the CPU a job", cpu),
	})
	switch {
	case slots != 256 || len(best) < 3: // the best of one is not meant
	case k == realSynced:
		b.table.reached(aimPeers, rate)
		b.table.reached(aimPeersCPU, cpu)
	default:
		b.table.reached(aimLoose, rate)
		b.table.reached(aimLooseCPU, cpu)
	}
}

// peer measures one of them, on a server of its own.
func (b *bench) peer(path string, p peer, t task) side {
	return func(ctx context.Context) (r *report, err error) {
		b.say("%s: %d jobs, %d slots, fsynced: %v", p.name, t.Jobs, t.Slots, t.Sync)
		ctx, cancel := context.WithTimeout(ctx, t.patience())
		defer cancel()
		s, err := b.stand(t)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, s.close()) }()
		var url string
		if err := s.serve(p.server, &url)(p.start(ctx, s.Data, t.Sync)); err != nil {
			return nil, err
		}
		if err := s.startModel(ctx, task{}); err != nil {
			return nil, err
		}
		child, err := play(exec.CommandContext(ctx, path), struct {
			Peer, Server, Model string
			Jobs, Slots, Body   int
		}{p.name, url, s.Model, t.Jobs, t.Slots, t.Body})
		if err != nil {
			return nil, err
		}
		return b.watch(child, p, s)
	}
}

// watch lets a peer begin once its jobs are enqueued, and reads the CPU of all
// processes until the last one is stored.
func (b *bench) watch(child *player, p peer, s *stand) (*report, error) {
	var version, done string
	if err := child.hear(&version); err != nil {
		return nil, err
	}
	b.peerVersions[p.name] = strings.TrimPrefix(version, "v")
	meter := &meter{pids: s.Others}
	meter.pids["worker"] = child.cmd.Process.Pid
	meter.begin()
	if _, err := fmt.Fprintln(child.stdin); err != nil {
		return nil, errors.Join(err, child.stop())
	}
	if err := child.hear(&done); err != nil {
		return nil, err
	}
	return &report{Answered: meter.end(s.Jobs)}, child.stop()
}

// buildPeers builds their program, which is a module of its own: it may need
// modules that are not on this machine yet.
func (b *bench) buildPeers(ctx context.Context) (string, error) {
	find := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/drover-batch/drover")
	root, err := find.Output()
	if err != nil {
		return "", fmt.Errorf("looking for the module: %w", complaint(err))
	}
	path := filepath.Join(b.dir, "peers")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, ".")
	build.Dir = filepath.Join(strings.TrimSpace(string(root)), "bench", "peers")
	build.Env = append(os.Environ(), "GOWORK=off")
	if _, err := build.Output(); err != nil {
		return "", fmt.Errorf("building %s: %w", build.Dir, complaint(err))
	}
	return path, nil
}

// complaint is the first line of what a program said when it failed.
func complaint(err error) error {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && len(exit.Stderr) > 0 {
		first, _, _ := strings.Cut(string(exit.Stderr), "\n")
		return fmt.Errorf("%w: %s", err, first)
	}
	return err
}
