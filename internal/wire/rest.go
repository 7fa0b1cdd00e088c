package wire

import (
	"sync"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// rests lets a batch rest for something that this worker does not have, and says
// so: once, and not for each of its jobs.
func (w *Worker) rests(b *jobs.Batch, wait time.Duration, what string, why error) *jobs.Decision {
	text := what
	if why != nil {
		text += ": " + why.Error()
	}
	if w.resting.news(b.ID, text) {
		w.parts.Log.Error().Err(why).Str("batch", b.ID).Msg(what)
	}
	return &jobs.Decision{Wait: wait, Rest: true}
}

// sayAgain is after how long it is said again why a batch rests.
const sayAgain = time.Hour

// reasons are why batches rest, as it was said. They may be used from any
// goroutine.
type reasons struct {
	mu   sync.Mutex
	said map[[2]string]time.Time // by batch and reason
}

// news reports whether a reason has not been said lately.
func (r *reasons) news(batch, why string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := [2]string{batch, why}
	if at, ok := r.said[key]; ok && time.Since(at) < sayAgain {
		return false
	}
	if r.said == nil || len(r.said) >= kept {
		r.said = make(map[[2]string]time.Time)
	}
	r.said[key] = time.Now()
	return true
}
