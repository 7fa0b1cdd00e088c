package wire

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
	"github.com/drover-batch/drover/resilience"
)

// tend does every few seconds what some replica has to do for the fleet.
func (w *Worker) tend(ctx context.Context) {
	w.unreached = time.Now()
	trouble, adopting := murmur{}, murmur{level: zerolog.WarnLevel}
	every(ctx, 5*time.Second, func() {
		err := w.bookLapsed(ctx)
		if err != nil {
			w.unreached = time.Now()
		}
		trouble.tell(ctx, w.parts.Log, errors.Join(err, w.sweep(ctx), w.goOn(ctx), w.heed(ctx)), "looking after budgets")
		w.keepsUp()
		for _, batch := range w.source.Newer() {
			w.parts.Log.Warn().Str("batch", batch).Msg("the batch was submitted by a newer build and asks for what this one does not know: it waits for workers of the newer build")
		}
		for batch, why := range w.source.Broken() {
			w.parts.Log.Error().Str("batch", batch).Err(why).Msg("jobs wait in a batch that is none: they stay where they are, and whoever may write to NATS should look at it")
		}
		if w.spool != nil {
			adopting.tell(ctx, w.parts.Log, w.spool.adopt(), "looking for answers of workers that died")
		}
	})
}

// Behind is how long NATS has been working off acknowledgements; 0 while it
// keeps up. No jobs are taken from three seconds on.
func (w *Worker) Behind() time.Duration { return w.source.Behind() }

// keepsUp says once that NATS does not, and once that it does again.
func (w *Worker) keepsUp() {
	switch behind := w.Behind(); {
	case behind >= 5*time.Second && !w.toldBehind:
		w.toldBehind = true
		w.parts.Log.Warn().Stringer("behind", behind.Round(time.Second)).Msg("NATS is behind with acknowledgements, each of which it syncs to its disk: jobs are taken as fast as it keeps up")
	case behind == 0 && w.toldBehind:
		w.toldBehind = false
		w.parts.Log.Info().Msg("NATS keeps up with acknowledgements again")
	}
}

// murmur tells of errors in the background, and of the same one once.
type murmur struct {
	level zerolog.Level // default debug
	last  string
}

func (m *murmur) tell(ctx context.Context, log zerolog.Logger, err error, doing string) {
	if ctx.Err() != nil {
		return
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != m.last && err != nil {
		log.WithLevel(m.level).Err(err).Msg(doing)
	}
	m.last = text
}

// tellOfRedis says once that Redis is away, and once that it is back. With an
// allowance calls go on, which is told where it is used.
func (w *Worker) tellOfRedis(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil || w.allowance != nil:
	case err != nil && !w.toldAway:
		w.toldAway = true
		w.parts.Log.Warn().Err(err).Msg("Redis is away: running calls finish, and no new ones are made until it is back")
	case err == nil && w.toldAway:
		w.toldAway = false
		w.parts.Log.Info().Msg("Redis is back")
	}
}

// every does something again and again until ctx ends, and then not once more.
func every(ctx context.Context, period time.Duration, do func()) {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if ctx.Err() != nil {
			return // which select may pass over when both are there
		}
		do()
	}
}

// bookLapsed puts into the book what died with its worker: Redis may be lost,
// and the money was spent all the same.
func (w *Worker) bookLapsed(ctx context.Context) error {
	lapsed, err := w.ledger.Lapsed(ctx, w.parts.Redis)
	w.tellOfRedis(ctx, err)
	if err != nil || len(lapsed) == 0 {
		return err
	}
	recorded, err := w.parts.Queue.OnRecord(ctx)
	if err != nil {
		return err
	}
	begun := make(map[string]jobs.Spend, len(recorded))
	for _, s := range recorded {
		begun[s.Call] = s
	}
	for _, s := range lapsed {
		if resilience.Standing(s.Call) && time.Since(s.At) < silence*w.parts.Config.Worker.Lease {
			continue // it is on record, and its worker may only have been out of Redis' reach
		}
		if at, ok := begun[s.Call]; ok {
			s.At, s.Tenant = at.At, at.Tenant // rather than when its lease ended: the day may have changed
		}
		if s.Cost > 0 {
			if err := w.presume(ctx, s, "its lease ended"); err != nil {
				return err
			}
		}
		if err := w.ledger.Booked(ctx, w.parts.Redis, s.Call); err != nil {
			return err
		}
	}
	return nil
}

// silence is how many leases without a sign of life make a worker's record of
// calls be looked into.
const silence = 5

// sweep puts the calls into the book that are on record and that nobody knows
// any more: their worker died, and so did Redis, or both died between an
// answer and its outcome.
func (w *Worker) sweep(ctx context.Context) error {
	if time.Since(w.swept) < w.parts.Config.Worker.Lease || time.Since(w.unreached) < w.parts.Config.Worker.Lease {
		return nil // those who were cut off with us may just be coming back
	}
	w.swept = time.Now()
	q := w.parts.Queue
	abandoned, err := q.Abandoned(ctx, silence*w.parts.Config.Worker.Lease)
	if err != nil {
		return err
	}
	for _, a := range abandoned {
		alive, err := w.gate.Script().Alive(ctx, w.parts.Redis, callsOf(a.Calls))
		if err != nil {
			return err
		}
		if slices.Contains(slices.Collect(maps.Values(alive)), true) {
			continue
		}
		for _, s := range a.Calls {
			if err := w.presume(ctx, s, "it is on record and nobody knows of it"); err != nil {
				return err
			}
		}
		if err := q.Forget(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// presume counts a call's money as spent unless it is on record already, and
// says so, and why.
func (w *Worker) presume(ctx context.Context, s jobs.Spend, why string) error {
	news, err := w.parts.Queue.Presume(ctx, s, queue.Died)
	if err != nil || !news {
		return err
	}
	w.parts.Log.Warn().Str("call", s.Call).Str("batch", s.Batch).Str("job", string(s.Job)).Str("model", s.Model).
		Stringer("cost", s.Cost).Time("began", s.At).Str("because", why).
		Msg("A call is presumed paid: its worker died while it was on its way")
	return nil
}

func callsOf(spends []jobs.Spend) []string {
	calls := make([]string, len(spends))
	for i, s := range spends {
		calls[i] = s.Call
	}
	return calls
}
