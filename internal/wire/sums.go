package wire

import (
	"context"
	"errors"
	"fmt"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

// ErrNoSums says that Redis has no sums, which is not to say that nothing was
// spent.
var ErrNoSums = errors.New("the sums are not in Redis: a worker puts them there from the book when it starts, and before its next call; start one, or try again in a moment")

// Sums returns what the named accounts have come to, or all, see
// budget.Ledger.Sums. Servers that live in this process have lost them, so they
// are added up from the book, which takes a while when there is much in it;
// others return ErrNoSums then.
func (s *Servers) Sums(ctx context.Context, names ...string) ([]budget.Sum, error) {
	script := lua.Compose(s.keys, s.Ledger.Module())
	epoch, err := script.Epoch(ctx, s.Redis)
	switch {
	case err != nil:
		return nil, fmt.Errorf("looking for the budgets' sums: %w", err)
	case epoch == "" && !s.Embedded:
		return nil, ErrNoSums
	case epoch == "":
		r := records(ctx, s.Queue)
		if s.tally != nil {
			r.Book = s.tally.book(ctx, s.Queue)
		}
		if err := s.Ledger.Rebuild(ctx, s.Redis, script, r); err != nil {
			return nil, err
		}
	}
	return s.Ledger.Sums(ctx, s.Redis, names...)
}

// records is what the queue has of every call.
func records(ctx context.Context, q *queue.Queue) budget.Records {
	return budget.Records{InFlight: q.InFlight, Book: q.Book(ctx), Limits: q.Limits}
}

// Recount has a worker count what was spent anew from the book before the next
// call: also what workers have spent that did not know a budget yet. Until then
// there are no Sums. Embedded servers count whenever they start.
func (s *Servers) Recount(ctx context.Context) error {
	if s.Embedded {
		return nil
	}
	return lua.Compose(s.keys, s.Ledger.Module()).Shut(ctx, s.Redis)
}

// SetLimit changes the limit of a configured budget for the whole fleet from
// its next call on; 0 returns to the configured one. It is on record in NATS,
// and Redis is told: where both live in this process, the next worker is when it
// starts. What was paused for want of money goes on, until a call finds that
// there still is too little.
func (s *Servers) SetLimit(ctx context.Context, name string, limit jobs.USD) error {
	account := budget.Account(name)
	if s.Embedded {
		return s.Queue.SetLimit(ctx, account, limit)
	}
	if err := s.Ledger.Settable(ctx, s.Redis, account, limit); err != nil {
		return err
	}
	if err := s.Queue.SetLimit(ctx, account, limit); err != nil {
		return err
	}
	if err := s.Ledger.SetLimit(ctx, s.Redis, account, limit); err != nil {
		return err
	}
	short, err := s.Queue.Shortages().List(ctx)
	for _, b := range short {
		if _, err = s.Queue.GoOn(ctx, b.ID); err != nil {
			break
		}
	}
	return err
}

// SetBudget changes the limit of a batch, 0 for none. If it was paused for want
// of money it goes on.
func (s *Servers) SetBudget(ctx context.Context, batch string, limit jobs.USD) error {
	if err := s.Queue.SetBudget(ctx, batch, limit); err != nil {
		return err
	}
	_, err := s.Queue.GoOn(ctx, batch)
	return err
}
