package dashboard

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
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
			v.Trouble = append(v.Trouble, plain(err.Error()))
		}
		return err == nil
	}
	s := l.servers
	sums, err := s.Sums(ctx)
	priced := must(err)
	if priced {
		v.Budgets = slices.DeleteFunc(slices.Clone(sums), func(a budget.Sum) bool {
			return a.Over(v.At) || !strings.HasPrefix(a.Account, budget.Account(""))
		})
	}
	if models, err := s.Models(ctx); must(err) {
		v.Models = models
	}
	if all, err := s.Queue.Batches(ctx); must(err) {
		shown := choose(all)
		if batches, err := l.standings(ctx, shown, v.At); must(err) {
			v.Batches, v.Hidden, v.Fleet = batches, len(all)-len(batches), l.fleet
			price(batches, sums, priced)
			l.forget(all)
		}
	}
	if n, err := s.Queue.Letters(ctx); must(err) {
		v.Letters = n
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

// standings looks at batches, at those that are over only now and then.
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
			if errs[i] = err; err == nil {
				k.progress, k.at = p, now
			}
		})
	}
	busy.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	views := make([]*batchView, len(batches))
	for i, b := range batches {
		k := l.batches[b.ID]
		l.done += k.track.add(now, k.progress.Done())
		views[i] = &batchView{Batch: b, Progress: k.progress, Track: k.track}
	}
	l.fleet.add(now, l.done)
	return views, nil
}

// price tells what the batches have cost.
func price(batches []*batchView, sums []budget.Sum, priced bool) {
	accounts := map[string]*budget.Sum{}
	for i := range sums {
		accounts[sums[i].Account] = &sums[i]
	}
	for _, b := range batches {
		b.Priced = priced
		if a := accounts[budget.BatchAccount(b.Batch.ID)]; a != nil {
			b.Spent, b.Held, b.Ambiguous, b.Models = a.Spent, a.Held, a.Presumed+a.Ambiguous, a.Models
		}
	}
}

// forget drops what is remembered of batches that were removed.
func (l *looks) forget(all []*jobs.Batch) {
	there := map[string]bool{}
	for _, b := range all {
		there[b.ID] = true
	}
	maps.DeleteFunc(l.batches, func(id string, _ *known) bool { return !there[id] })
}
