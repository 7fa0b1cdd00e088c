package queue

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Denied says that NATS does not let the user of the connection do something.
// NATS tells so apart: what was asked for is never answered.
type Denied struct {
	Verb, Subject string
}

func (d *Denied) Error() string {
	return fmt.Sprintf("NATS does not let this user %s %s: it takes one that may, such as admin of deploy/config/nats.conf", d.Verb, d.Subject)
}

var denial = regexp.MustCompile(`(?i)for (Publish|Subscription) to "([^"]+)"`)

// DenialOf is what the error of a connection's error handler says was denied; nil
// if it says something else, or was caused by Rights, who meant to find out.
func DenialOf(err error) *Denied {
	said := denial.FindStringSubmatch(fmt.Sprint(err))
	if !errors.Is(err, nats.ErrPermissionViolation) || said == nil || jobOf(said[2]) == nobody {
		return nil
	}
	if said[1] == "Publish" {
		return &Denied{"publish on", said[2]}
	}
	return &Denied{"listen on", said[2]}
}

// Deed is what a user of NATS may or may not do with the queue.
type Deed string

// What takes rights of its own.
const (
	ChangeBatches Deed = "change batches"
	CancelBatches Deed = "cancel batches"
	ReplayLetters Deed = "replay dead letters"
	DropLetters   Deed = "drop dead letters"
	SetLimits     Deed = "set the limits of budgets"
)

// nobody is the last part of subjects on which is asked what may be published.
const nobody = "may-i"

// Rights finds out what the user of the connection may do. It asks the server
// with messages that no stream takes; of each that is refused the server writes a
// line into its log.
func (q *Queue) Rights(ctx context.Context) (map[Deed]bool, error) {
	batches, gone := "$KV."+q.stream("BATCHES")+"."+nobody, q.gone(nobody, nobody)
	rights := map[Deed]bool{}
	for deed, subjects := range map[Deed][]string{
		ChangeBatches: {batches},
		CancelBatches: {batches, q.outcome(nobody, nobody), q.cursor(nobody)},
		ReplayLetters: {batches, q.job(nobody, nobody), q.replayed(nobody, nobody), gone},
		DropLetters:   {gone},
		SetLimits:     {"$KV." + q.stream("SETTINGS") + "." + nobody},
	} {
		rights[deed] = true
		for _, subject := range subjects {
			err := q.may(ctx, subject)
			if _, denied := errors.AsType[*Denied](err); denied {
				rights[deed] = false
			} else if err != nil {
				return nil, fmt.Errorf("asking what this user of NATS may do: %w", err)
			}
		}
	}
	return rights, nil
}

// may returns a Denied if the user may not publish on a subject that nobody uses.
func (q *Queue) may(ctx context.Context, subject string) error {
	m := newMsg(subject, nil)
	m.Header.Set(jetstream.ExpectedStreamHeader, nobody) // no stream is called so
	if err := q.nc.PublishMsg(m); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := q.nc.FlushWithContext(ctx); err != nil {
		return err
	}
	if said := denial.FindStringSubmatch(fmt.Sprint(q.nc.LastError())); said != nil && said[2] == subject { // it comes before the answer to Flush
		return &Denied{"publish on", subject}
	}
	return nil
}
