package dashboard

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/documents"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

const (
	mostLive  = 200              // batches under way that are shown
	mostOver  = 20               // batches that are over, the latest
	overAgain = time.Minute      // how often those are looked at
	lookLimit = 15 * time.Second // for one look
	abreast   = 8                // batches looked at at a time
)

// view is what one look at the servers has shown.
type view struct {
	At      time.Time
	Trouble []string // why something of it is missing or old
	Batches []*batchView
	Hidden  int // batches that are not among them
	Models  []wire.ModelState
	Budgets []budget.Sum
	Letters int64
	Fleet   track // of all batches that are shown, together

	rights map[queue.Deed]bool // of whoever runs this; nil while nobody knows
}

// batchView is a batch as it stands.
type batchView struct {
	Batch *jobs.Batch
	jobs.Progress

	Spent, Held, Ambiguous jobs.USD
	Models                 map[string]jobs.USD
	Priced                 bool // the sums were there
	Track                  track
}

// looks keeps what the last look has shown, for all who watch.
type looks struct {
	servers *wire.Servers
	every   time.Duration

	mu      sync.Mutex
	seen    *view
	next    time.Time // when a new look is due
	batches map[string]*known
	fleet   track
	done    int64 // of all batches since the board began
}

// known is what is remembered of a batch between two looks.
type known struct {
	track    track
	progress jobs.Progress
	at       time.Time // of progress
}

// view returns what there is to be seen, from a look that is a few seconds old at
// the most, unless looking takes long. It blocks while somebody looks.
func (l *looks) view(ctx context.Context) *view {
	l.mu.Lock()
	defer l.mu.Unlock()
	if began := time.Now(); l.seen == nil || began.After(l.next) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookLimit) // others wait for it as well
		defer cancel()
		l.seen = l.look(ctx)
		l.next = time.Now().Add(max(l.every, 4*time.Since(began)))
	}
	return l.seen
}

// renew has the next view look again, whenever the last one was.
func (l *looks) renew() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = time.Time{}
	for _, k := range l.batches {
		k.at = time.Time{}
	}
}

// look sees what it can: what one server does not tell is taken from the look
// before.
func (l *looks) look(ctx context.Context) *view {
	v := &view{At: time.Now()}
	if l.seen != nil {
		old := *l.seen
		old.At, old.Trouble = v.At, nil
		v = &old
	}
	must := func(err error) bool {
		if err != nil {
			v.Trouble = append(v.Trouble, documents.Line(err.Error()))
		}
		return err == nil
	}
	s := l.servers
	if fleet, err := s.Fleet(ctx); must(err) {
		v.Models, v.Budgets = fleet.Models, fleet.Budgets
	}
	if all, err := s.Queue.Batches(ctx); must(err) {
		if batches, err := l.standings(ctx, choose(all), v.At); must(err) {
			must(price(ctx, s, batches))
			v.Batches, v.Hidden, v.Fleet = batches, len(all)-len(batches), l.fleet
			l.forget(all)
		}
	}
	if n, err := s.Queue.Letters(ctx); must(err) {
		v.Letters = n
	}
	if v.rights == nil { // which outlast this process: the server lets go of a client whose rights change
		if rights, err := s.Queue.Rights(ctx); must(err) {
			v.rights = rights
		}
	}
	if len(v.Trouble) > 1 { // most often for the same reason
		slices.Sort(v.Trouble)
		v.Trouble = slices.Compact(v.Trouble)
	}
	return v
}

// choose takes the batches that are under way and the latest of the others, the
// newest first.
func choose(all []*jobs.Batch) []*jobs.Batch {
	var live, over []*jobs.Batch
	for _, b := range slices.Backward(all) {
		if b.State == jobs.Finished || b.State == jobs.Cancelled {
			over = append(over, b)
		} else {
			live = append(live, b)
		}
	}
	return append(live[:min(len(live), mostLive)], over[:min(len(over), mostOver)]...)
}

// standings looks at batches, at those that are over only now and then. Those that
// were removed meanwhile are not among them.
func (l *looks) standings(ctx context.Context, batches []*jobs.Batch, now time.Time) ([]*batchView, error) {
	var busy sync.WaitGroup
	free := make(chan struct{}, abreast)
	errs := make([]error, len(batches))
	for i, b := range batches {
		k := l.batches[b.ID]
		if k == nil {
			k = &known{}
			l.batches[b.ID] = k
		}
		if k.progress.State == b.State && k.progress.Over() && now.Sub(k.at) < overAgain {
			continue
		}
		free <- struct{}{}
		busy.Go(func() {
			defer func() { <-free }()
			p, err := l.servers.Queue.Progress(ctx, b.ID)
			switch {
			case err == nil:
				k.progress, k.at = p, now
			case !errors.Is(err, queue.ErrNoBatch):
				errs[i] = err
			}
		})
	}
	busy.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var views []*batchView
	for _, b := range batches {
		k := l.batches[b.ID]
		if k.at.IsZero() {
			continue
		}
		l.done += k.track.add(now, k.progress.Done())
		views = append(views, &batchView{Batch: b, Progress: k.progress, Track: k.track})
	}
	l.fleet.add(now, l.done)
	return views, nil
}

// price tells what the batches have cost.
func price(ctx context.Context, s *wire.Servers, batches []*batchView) error {
	if len(batches) == 0 {
		return nil // no names would be all
	}
	names := make([]string, len(batches))
	for i, b := range batches {
		names[i] = budget.BatchAccount(b.Batch.ID)
	}
	sums, err := s.Sums(ctx, names...)
	if err != nil {
		return err
	}
	accounts := map[string]*budget.Sum{}
	for i := range sums {
		accounts[sums[i].Account] = &sums[i]
	}
	for i, b := range batches {
		b.Priced = true
		if a := accounts[names[i]]; a != nil {
			b.Spent, b.Held, b.Ambiguous, b.Models = a.Spent, a.Held, a.Presumed+a.Ambiguous, a.Models
		}
	}
	return nil
}

// forget drops what is remembered of batches that were removed.
func (l *looks) forget(all []*jobs.Batch) {
	there := map[string]bool{}
	for _, b := range all {
		there[b.ID] = true
	}
	maps.DeleteFunc(l.batches, func(id string, _ *known) bool { return !there[id] })
}
