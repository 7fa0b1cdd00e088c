package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/drover-batch/drover/documents"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/embedded"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
)

// session is one `enqueue run` from start to summary.
type session struct {
	*cli
	cfg    *config.Config
	batch  *jobs.Batch
	feeder *feeder
	target *target

	verbose bool // log what happens around the calls

	servers *wire.Servers
	intake  intake
	fed     atomic.Bool
	tally   tally
	started time.Time
}

func (s *session) run(ctx context.Context) (err error) {
	s.started = time.Now()
	stopSimulator, err := wire.Simulate(s.cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopSimulator()) }()
	if _, taken, _ := embedded.FindEndpoints(ctx, s.cfg.Worker.Data); taken {
		return fmt.Errorf("a worker --embedded is at work in %s: hand it the documents with enqueue submit, or choose another folder with --data", s.cfg.Worker.Data)
	}
	if s.servers, err = wire.Embed(ctx, s.cfg, false); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.servers.Close()) }()
	if err := s.takeUp(ctx); err != nil {
		return err
	}
	s.introduce()
	goOn, why, err := s.rehearse(ctx)
	if goOn && err == nil {
		why, err = s.work(ctx)
	}
	if err != nil {
		return err
	}
	return s.conclude(context.WithoutCancel(ctx), why)
}

// takeUp goes on with a batch that was begun before: whoever runs the command
// again wants it to go on, and another budget counts from now on.
func (s *session) takeUp(ctx context.Context) error {
	q, id := s.servers.Queue, s.batch.ID
	old, err := q.Batch(ctx, id)
	if isUnknown(err) {
		return nil
	}
	if err != nil {
		return err
	}
	s.batch.Chains = old.Chains
	if s.batch.Budget == 0 {
		s.batch.Budget = old.Budget
	} else if err := q.SetBudget(ctx, id, s.batch.Budget); err != nil {
		return err
	}
	if s.tally.cost, _, err = s.servers.Spent(ctx, id); err != nil {
		return err
	}
	p, err := q.Progress(ctx, id)
	if err != nil || p.Over() {
		return err
	}
	for _, chain := range old.Chains { // that dead letters were replayed with, and wait for
		if _, err := s.cfg.Chain(chain); err != nil {
			return misused(fmt.Errorf("dead letters of this batch were replayed with another chain: %w", err))
		}
		if err := s.cfg.ReadKeys(chain); err != nil {
			return misused(err)
		}
	}
	ended, err := q.Ended(ctx, id) // a kill may have lost the last acknowledgements
	if err != nil {
		return err
	}
	done := max(ended, p.Done())
	if p.State == jobs.Paused {
		s.say("going on with the paused batch: %d of %d done", done, p.Total)
		return q.Resume(ctx, id)
	}
	s.say("going on where the last run stopped: %d of %d done", done, p.Total)
	return nil
}

// introduce says what is going to happen, and plainly if it is only a
// rehearsal.
func (s *session) introduce() {
	if s.cfg.Simulated {
		s.say("Simulated: the answers and their costs are made up. For a real model: --model NAME with OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY, or --model NAME --base-url http://127.0.0.1:11434/v1, or --config drover.yaml")
	}
	models, _ := s.cfg.Chain(s.batch.Chain)
	line := fmt.Sprintf("batch %s: ", s.batch.ID)
	for i, m := range models {
		if i > 0 {
			line += " → "
		}
		line += m.Name
	}
	if s.batch.Budget > 0 {
		line += fmt.Sprintf(", at most %s", s.batch.Budget)
	}
	s.say("%s", line)
	for _, note := range s.servers.Notes {
		s.say("note: %s", note)
	}
}

var errOver = errors.New("the batch is over")

// work feeds, answers and shows, until the batch is over or somebody stops
// it. It returns why it ended.
func (s *session) work(ctx context.Context) (why, err error) {
	d := newDisplay(s.err, plain(s.batch.Name), s.unpriced())
	defer d.close()
	s.feeder.shown = true
	s.feeder.say = func(format string, args ...any) { tell(d, format, args...) }
	s.feeder.report = func(p *documents.Problem) { s.feeder.say("left out: %s", p) }
	wire.SpareCollector()
	id := wire.ProcessID()
	tracer, exported, err := tracer(ctx, s.cfg, id, s.feeder.say)
	if err != nil {
		return nil, err
	}
	defer exported()
	s.feeder.tracer = tracer
	worker, err := wire.New(ctx, wire.Parts{
		Config: s.cfg, Queue: s.servers.Queue, Redis: s.servers.Redis,
		Spool: filepath.Join(s.cfg.Worker.Data, wire.SpoolFolder),
		ID:    id, Trace: tracer, OnOutcome: s.tally.outcome, OnWaste: s.tally.waste, Log: s.log(d),
	})
	if err != nil {
		return nil, err
	}
	taking, working, release := wire.StopOnSignals(ctx, func(nth int) {
		if nth == 1 {
			tell(d, "stopping: calls that are running may finish within %s; once more to stop at once", s.cfg.Worker.Grace)
		}
	})
	defer release()
	taking, stop := context.WithCancelCause(taking)
	defer stop(nil)

	var running sync.WaitGroup
	running.Go(func() { err = worker.Run(taking, working) })
	running.Go(func() {
		var failed error
		if s.intake, failed = s.feeder.feed(taking, s.servers.Queue, s.batch); failed != nil {
			stop(failed)
		}
		s.fed.Store(true)
	})
	s.follow(taking, d)
	stop(errOver)
	running.Wait()
	s.glance(context.WithoutCancel(ctx), d)
	if why = context.Cause(taking); errors.Is(why, wire.ErrStopped) || errors.Is(why, errOver) {
		return why, err
	}
	return nil, errors.Join(why, err)
}

// log is where the worker reports to: to people, who want to know once what
// keeps their documents from being answered, or with --verbose all of it.
func (s *session) log(w io.Writer) zerolog.Logger {
	if !s.verbose {
		return zerolog.New(&warnings{w: w}).Level(zerolog.WarnLevel)
	}
	return zerolog.New(zerolog.ConsoleWriter{Out: w, NoColor: true, TimeFormat: time.TimeOnly}).With().Timestamp().Logger()
}

// unpriced lists the models of the batch whose price nobody knows.
func (s *session) unpriced() []string {
	var names []string
	models, _ := s.cfg.Chain(s.batch.Chain)
	for _, m := range models {
		if m.Price == nil {
			names = append(names, m.Name)
		}
	}
	return names
}

// follow shows progress until the batch is over, paused or given up.
func (s *session) follow(ctx context.Context, d display) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for !s.glance(ctx, d) {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// glance shows how the batch stands and reports whether there is nothing more
// to come. While nobody can tell, there may be.
func (s *session) glance(ctx context.Context, d display) bool {
	fed := s.fed.Load()
	p, err := s.servers.Queue.Progress(ctx, s.batch.ID)
	if err != nil {
		return false
	}
	d.show(s.tally.snapshot(p, !fed))
	return fed && p.Over() || p.State == jobs.Paused || p.State == jobs.Cancelled
}

// conclude writes the results and the summary and settles the exit code.
func (s *session) conclude(ctx context.Context, why error) error {
	p, err := s.servers.Queue.Progress(ctx, s.batch.ID)
	if err != nil {
		return err
	}
	sum := newSummary(time.Since(s.started))
	sum.unpriced = s.unpriced()
	s.target.csv = isCSV(s.target.out)
	ready := s.intake.openAI
	if s.intake.documents == 0 { // it was stopped before it had read any
		if ready, err = cameReady(ctx, s.servers.Queue, s.batch.ID); err != nil {
			return err
		}
	}
	s.target.openAI = ready && !s.target.csv
	if err := s.write(ctx, s.target, s.servers.Queue, s.batch.ID, sum); err != nil {
		return err
	}
	if err := sum.waste(ctx, s.servers.Queue, s.batch.ID); err != nil {
		return err
	}
	sum.left, sum.problems = max(0, p.Total-sum.total()), s.intake.problems
	switch {
	case !s.json:
		sum.write(s.err, s.target)
	case s.target.out == "-": // which has the results already
		_, err = s.err.Write(sum.machine(s.batch.ID, p.State))
	default:
		_, err = s.out.Write(sum.machine(s.batch.ID, p.State))
	}
	s.remind(sum)
	return errors.Join(err, s.verdict(p, sum, why))
}

// remind says that there are answers of models that the chain has no more: who
// has changed it may think that they are of the new ones.
func (s *session) remind(sum *summary) {
	var models []jobs.Model
	for _, chain := range s.batch.AllChains() {
		more, _ := s.cfg.Chain(chain)
		models = append(models, more...)
	}
	for _, name := range slices.Sorted(maps.Keys(sum.models)) {
		n := sum.models[name].answers
		if n == 0 || slices.ContainsFunc(models, func(m jobs.Model) bool { return m.Name == name }) {
			continue
		}
		s.say("%s by %s, which the chain %s has no more: what is answered stays so, and another --name asks about it anew", jobs.Counted(n, "answer"), plain(name), s.batch.Chain)
	}
}
