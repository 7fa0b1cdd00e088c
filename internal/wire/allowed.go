package wire

import (
	"context"
	"errors"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/drover-batch/drover/queue"
)

// Allowed does something with a context that ends as soon as NATS refuses this
// process something for want of rights: an answer would be waited for in vain. The
// error is a queue.Denied then.
func (s *Servers) Allowed(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer s.denials.add(cancel)()
	err := do(ctx)
	if denied, ok := errors.AsType[*queue.Denied](errors.Join(err, context.Cause(ctx))); ok && err != nil {
		return denied
	}
	return err
}

// denials knows who wants to hear of what NATS denies.
type denials struct {
	mu   sync.Mutex
	told map[*context.CancelCauseFunc]bool
}

func (d *denials) add(tell context.CancelCauseFunc) (remove func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.told == nil {
		d.told = map[*context.CancelCauseFunc]bool{}
	}
	d.told[&tell] = true
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.told, &tell)
	}
}

// hear listens to what a connection is denied, and leaves the rest to who did
// before.
func (d *denials) hear(nc *nats.Conn) {
	rest := nc.Opts.AsyncErrorCB
	nc.SetErrorHandler(func(nc *nats.Conn, sub *nats.Subscription, err error) {
		if !errors.Is(err, nats.ErrPermissionViolation) {
			rest(nc, sub, err)
		} else if denied := queue.DenialOf(err); denied != nil {
			d.tell(denied)
		}
	})
}

func (d *denials) tell(denied *queue.Denied) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for tell := range d.told {
		(*tell)(denied)
	}
}
