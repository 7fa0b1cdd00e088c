package resilience

import (
	"sync"
	"time"
)

// Recent remembers what was said lately, so that what many calls meet alike is
// said once in a while. The zero value is ready to use, by any goroutine.
type Recent struct {
	Every time.Duration // after which the same is news again, default 1h
	Most  int           // texts remembered, default 512; beyond that all are news again

	mu   sync.Mutex
	said map[string]time.Time
}

// News reports whether a text has not been said lately, and takes it as said.
func (r *Recent) News(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	every, most := r.Every, r.Most
	if every <= 0 {
		every = time.Hour
	}
	if most <= 0 {
		most = 512
	}
	now := time.Now()
	if at, ok := r.said[text]; ok && now.Sub(at) < every {
		return false
	}
	if r.said == nil || len(r.said) >= most {
		r.said = make(map[string]time.Time)
	}
	r.said[text] = now
	return true
}
