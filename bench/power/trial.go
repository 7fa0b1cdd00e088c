package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/bench/process"
	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/queue"
)

// trial is what came of one.
type trial struct {
	How how `json:"how"`

	Accepted int `json:"accepted_before"` // jobs that enqueue was told are stored, before the cut
	Stored   int `json:"outcomes_before"` // outcomes in the broker, before the cut
	Gone     int `json:"outcomes_gone"`   // of those, not there any more right after it

	Held      time.Duration `json:"held,omitempty"`           // how long the disk was full
	Calls     int           `json:"calls_while_full"`         // begun meanwhile
	Restarted bool          `json:"nats_restarted,omitempty"` // before it stored again

	Figures    audit.Figures `json:"figures"`
	Objections []string      `json:"objections"`
	Stories    []string      `json:"-"`
}

// trial runs one from its first process to its verdict.
func (r *rig) trial(ctx context.Context, dir string, what how) (t *trial, err error) {
	f, err := r.open(ctx, dir, what)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	t = &trial{How: what}
	var batches []*batch
	var faults []audit.Fault
	if what == crammed {
		batches, faults, err = f.cram(ctx, t)
	} else {
		batches, faults, err = f.cutPower(ctx, t)
	}
	if err != nil {
		return nil, err
	}
	over := f.untilOver(ctx, batches)
	process.Pause(ctx, 21*time.Second) // what died with its worker lapses, and goes into the book
	for _, w := range f.workers {
		w.proc.stop()
	}
	e, err := f.gather(context.WithoutCancel(ctx), batches, faults)
	if err != nil {
		return nil, err
	}
	t.judge(e, over)
	r.say("%s: %d accepted, %d lost, %d objections", what, t.Figures.Accepted, t.Figures.Lost, len(t.Objections))
	return t, nil
}

// cutPower submits one batch before the workers start and one while they work,
// and cuts the power in the middle of that.
func (f *fleet) cutPower(ctx context.Context, t *trial) ([]*batch, []audit.Fault, error) {
	const feeding = 6 * time.Second
	one := newBatch("one", f.rig.jobs/2, 0, 0)
	two := newBatch("two", f.rig.jobs-f.rig.jobs/2, 32<<10, feeding) // 128 documents are a full group
	if err := f.submit(ctx, one); err != nil {
		return nil, nil, err
	}
	for _, w := range f.workers {
		if err := f.hire(w); err != nil {
			return nil, nil, err
		}
	}
	submitted := make(chan error, 1)
	go func() { submitted <- f.submit(ctx, two) }()
	looking, stop := context.WithCancel(ctx)
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		f.look(looking, t, len(one.docs))
	}()
	process.Pause(ctx, time.Second+time.Duration(f.rig.dice.Int64N(int64(feeding-2*time.Second))))
	stop()
	<-looked
	fault := audit.Fault{Kind: audit.Broker, What: "power cut", From: time.Now()}
	if err := f.blackout(); err != nil {
		return nil, nil, err
	}
	fault.To = time.Now()
	t.Gone = max(0, t.Stored-f.outcomes())
	f.rig.say("%s: %d jobs accepted and %d outcomes stored when it happened, %d of them gone; back after %v",
		t.How, t.Accepted, t.Stored, t.Gone, fault.To.Sub(fault.From).Round(time.Millisecond))
	if t.How == unsynced {
		if err := f.revive(); err != nil {
			return nil, nil, err
		}
	}
	if err := <-submitted; err != nil {
		return nil, nil, err
	}
	gone := fault
	gone.Kind = audit.Redis
	return []*batch{one, two}, []audit.Fault{fault, gone}, nil
}

// look keeps what the broker has, as of the last moment before ctx ends. What
// enqueue was told is at most that.
func (f *fleet) look(ctx context.Context, t *trial, whole int) {
	id := ""
	for ctx.Err() == nil {
		if id == "" {
			all, _ := f.seen.Queue.Batches(ctx)
			for _, b := range all {
				if b.Name == "two" {
					id = b.ID
				}
			}
		}
		two := 0
		if id != "" {
			if p, err := f.seen.Queue.Progress(ctx, id); err == nil {
				two = int(p.Total)
			}
		}
		stored := f.outcomes()
		if ctx.Err() == nil {
			t.Accepted, t.Stored = max(t.Accepted, whole+two), max(t.Stored, stored)
		}
		process.Pause(ctx, 10*time.Millisecond)
	}
}

// outcomes is how many the broker has, 0 if it does not say. It uses a new
// connection: those that are there may not have noticed that NATS is back.
func (f *fleet) outcomes() int {
	nc, err := nats.Connect("nats://127.0.0.1:"+f.natsPort, nats.NoReconnect())
	if err != nil {
		return 0
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err := js.Stream(ctx, "DROVER_OUTCOMES")
	if err != nil {
		return 0
	}
	return int(s.CachedInfo().State.Msgs)
}

// blackout is the power cut and the return of the power.
func (f *fleet) blackout() error {
	if err := f.disk.cut(); err != nil {
		return err
	}
	f.nats.kill()
	f.redis.kill()
	if err := until(10*time.Second, "nobody uses the disk", func() bool { return f.disk.umount() == nil }); err != nil {
		return err
	}
	if err := f.disk.mount(); err != nil {
		return err
	}
	return errors.Join(f.startRedis(), f.startNATS())
}

// revive is what an operator does whose NATS has forgotten its streams: lay
// them out again, and start the workers again.
func (f *fleet) revive() error {
	if err := command(f.rig.program("enqueue"), "--config", f.file, "setup"); err != nil {
		return err
	}
	for _, w := range f.workers {
		w.proc.stop()
		if err := f.hire(w); err != nil {
			return err
		}
	}
	return nil
}

// untilOver waits for the end of all batches; the error says which have none.
func (f *fleet) untilOver(ctx context.Context, batches []*batch) error {
	var errs []error
	end := time.Now().Add(3 * time.Minute)
	for _, b := range batches {
		for ctx.Err() == nil {
			p, err := f.seen.Queue.Progress(ctx, b.id)
			if err == nil && p.Over() || errors.Is(err, queue.ErrNoBatch) {
				break
			}
			if time.Now().After(end) {
				errs = append(errs, fmt.Errorf("batch %s is not over after three minutes: %+v, %w", b.name, p, err))
				break
			}
			process.Pause(ctx, 100*time.Millisecond)
		}
	}
	return errors.Join(append(errs, context.Cause(ctx))...)
}

// judge has the evidence examined.
func (t *trial) judge(e *audit.Evidence, over error) {
	found := audit.Examine(e)
	t.Figures = found.Figures
	if over != nil {
		t.Objections = append(t.Objections, over.Error())
	}
	told := map[audit.Job]bool{}
	tell := func(job audit.Job) {
		if !told[job] && len(told) < 5 {
			told[job] = true
			t.Stories = append(t.Stories, found.Story(job))
		}
	}
	for _, o := range found.Objections {
		t.Objections = append(t.Objections, o.String())
		if o.Job == (audit.Job{}) { // of money: it may be in what was paid for again
			for _, job := range askedAgain(e) {
				tell(job)
			}
			continue
		}
		tell(o.Job)
	}
}

// askedAgain are the jobs that more than one call was made for.
func askedAgain(e *audit.Evidence) (again []audit.Job) {
	calls := map[audit.Job]int{}
	for _, s := range e.Sent {
		if calls[s.Job]++; calls[s.Job] == 2 {
			again = append(again, s.Job)
		}
	}
	return again
}
