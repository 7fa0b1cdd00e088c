package wire

import (
	"time"

	"github.com/drover-batch/drover/jobs"
)

// rests lets a batch rest for something that this worker does not have, and says
// so: once, and not for each of its jobs.
func (w *Worker) rests(b *jobs.Batch, wait time.Duration, what string, why error) jobs.Decision {
	text := what
	if why != nil {
		text += ": " + why.Error()
	}
	if w.resting.News(b.ID + "\x00" + text) {
		w.parts.Log.Error().Err(why).Str("batch", b.ID).Msg(what)
	}
	return jobs.Decision{Wait: wait, Rest: true}
}
