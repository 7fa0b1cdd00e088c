package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/rs/zerolog"

	"github.com/drover-batch/drover/jobs"
)

// ErrStopping is the cause of a handler's context when the worker stops and
// the grace period is over. When the lease is lost it is jobs.ErrLeaseLost, and
// when the grace period is cut short whatever cut it.
var ErrStopping = errors.New("the worker is stopping")

// Source lends jobs; a queue is the real one.
type Source interface {
	// Next blocks until it can lend a job, or for a while. It lends at most
	// free of them, and may lend some together with an error.
	Next(ctx context.Context, free int) ([]jobs.Delivery, error)

	// Rest tells that asking for jobs of the batch is no use for so long.
	Rest(batch string, d time.Duration)
}

// Pool runs as many deliveries at once as it has slots. Its fields are set
// before Run and not changed afterwards.
type Pool struct {
	Source Source

	// Handle makes a decision of a delivery. When its context is cancelled it
	// returns as soon as it can. A panic is caught: the job is handed back,
	// and buried the third time. It may give its slot to other jobs while it
	// makes no calls.
	Handle func(ctx context.Context, d jobs.Delivery, slot *Slot) jobs.Decision

	// Pause pauses a batch for want of money, when a decision says so. It is
	// given the batch as it was lent, since when there may be some; may be nil.
	Pause func(ctx context.Context, lent *jobs.Batch, short *jobs.Shortage) error

	// Newcomers lends up to most jobs of batches that have few at work here. It
	// is asked while no slot is free, and must not block for jobs to come: as
	// many as a quarter of the slots, 16 at the most, are worked on beyond
	// those, so that a small batch need not wait for a large one's long jobs.
	// May be nil.
	Newcomers func(ctx context.Context, most int) ([]jobs.Delivery, error)

	Slots int           // deliveries at once, default 64
	Grace time.Duration // for running handlers to end when stopping, default 30s
	Limit time.Duration // for storing one outcome or handing one job back, default 60s

	// Longest is how long handling one job may take, default an hour. Beyond
	// it the handler is taken to hang: its context is cancelled, and the job's
	// lease is not renewed any more, so that another worker gets it.
	Longest time.Duration

	// Random returns a number in [0,1), by which pauses after errors differ;
	// default math/rand/v2's.
	Random func() float64

	OnOutcome func(*jobs.Outcome) // told of each outcome that was stored; may be nil
	Log       zerolog.Logger      // the zero value is silent

	stats  stats
	panics panics
}

// Run takes jobs until taking is cancelled, gives the running ones the grace
// period to end, then cancels them and hands them back. Cancelling working
// ends the grace period at once. Run returns when all that is done and none of
// its goroutines is left.
func (p *Pool) Run(taking, working context.Context) {
	p.setDefaults()
	working, stop := context.WithCancelCause(working)
	defer stop(nil)
	free := newSlots(p.Slots)
	handlers := newCrew()
	p.fetch(taking, working, free, handlers)
	handlers.dismiss()

	idle := make(chan struct{})
	go func() {
		handlers.wait()
		close(idle)
	}()
	grace := time.NewTimer(p.Grace)
	defer grace.Stop()
	select {
	case <-idle:
	case <-grace.C:
	}
	stop(ErrStopping)
	<-idle
}

func (p *Pool) setDefaults() {
	if p.Random == nil {
		p.Random = rand.Float64
	}
	if p.Slots <= 0 {
		p.Slots = 64
	}
	if p.Grace <= 0 {
		p.Grace = 30 * time.Second
	}
	if p.Limit <= 0 {
		p.Limit = time.Minute
	}
	if p.Longest <= 0 {
		p.Longest = time.Hour
	}
	p.stats.change(func() { p.stats.Slots = p.Slots })
}
