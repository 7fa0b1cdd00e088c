package resilience

import (
	"sync"
	"time"
)

// Detours remembers, of batches with a deadline, which part of their jobs went
// to another model to meet it, and how long calls last. The zero value is
// ready to use, by any goroutine; nil knows nothing.
type Detours struct {
	mu      sync.Mutex
	shares  map[string]*detour
	lasting map[string]time.Duration // by model
}

// detour counts answers by the second, over about as long as an Outlook's rate
// is taken over.
type detour struct {
	seconds [10]struct {
		number    int64
		all, away int
	}
	at   time.Time
	owed float64 // jobs that should have gone to another model, and did not
}

const (
	keptFor  = time.Hour // without a job, a batch is forgotten
	manyKept = 1024
)

// took notes an answer of a model to a job of the batch.
func (d *Detours) took(batch, model string, lasted time.Duration, hurried bool) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	one := d.of(batch, now)
	s := &one.seconds[now.Unix()%int64(len(one.seconds))]
	if s.number != now.Unix() {
		s.number, s.all, s.away = now.Unix(), 0, 0
	}
	s.all++
	if hurried {
		s.away++
	}
	if before, ok := d.lasting[model]; ok {
		lasted = before + (lasted-before)/8
	}
	d.lasting[model] = lasted
}

// due reports whether this job goes to another model, if such a part of the
// batch's jobs has to. Without a memory all do.
func (d *Detours) due(batch string, part float64) bool {
	if d == nil || part <= 0 {
		return part > 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	one := d.of(batch, time.Now())
	one.owed += part
	if one.owed < 1 {
		return false
	}
	one.owed--
	return true
}

// of is what is remembered of a batch. The caller has the lock.
func (d *Detours) of(batch string, now time.Time) *detour {
	if d.shares == nil {
		d.shares, d.lasting = map[string]*detour{}, map[string]time.Duration{}
	}
	one := d.shares[batch]
	if one == nil {
		d.sweep(now)
		one = &detour{}
		d.shares[batch] = one
	}
	one.at = now
	return one
}

func (d *Detours) sweep(now time.Time) {
	if len(d.shares) < manyKept {
		return
	}
	for batch, one := range d.shares {
		if now.Sub(one.at) > keptFor {
			delete(d.shares, batch)
		}
	}
}

// share is the part of the batch's jobs that went to another model.
func (d *Detours) share(batch string) float64 {
	if d == nil {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	one := d.shares[batch]
	if one == nil {
		return 0
	}
	all, away, now := 0, 0, time.Now().Unix()
	for _, s := range one.seconds {
		if now-s.number < int64(len(one.seconds)) {
			all, away = all+s.all, away+s.away
		}
	}
	return float64(away) / float64(max(all, 1))
}

// lasts is how long a call of the model takes; 0 if not known.
func (d *Detours) lasts(model string) time.Duration {
	if d == nil {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lasting[model]
}
