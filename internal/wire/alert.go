package wire

import (
	"context"
	"encoding/json"
	"time"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/jobs"
)

// Alerted is what an event on NATS and a webhook say of an alert.
type Alerted struct {
	Type    string    `json:"type"`    // budget_alert
	Account string    `json:"account"` // budget:acme/day, batch:contracts-1a2b3c4d5e
	Title   string    `json:"title"`   // acme/day on 2025-11-23
	Share   float64   `json:"share"`   // that was reached
	Limit   float64   `json:"limit_usd"`
	Spent   float64   `json:"spent_usd"`
	At      time.Time `json:"at"`
	Text    string    `json:"text"` // all of it in a sentence
}

// handOnAlerts hands on the alerts of soft limits, apart from everything else:
// a webhook may take its time.
func (w *Worker) handOnAlerts(ctx context.Context) {
	var trouble murmur
	every(ctx, 5*time.Second, func() {
		trouble.tell(ctx, w.parts.Log, w.handOnDue(ctx), "looking for alerts")
	})
}

func (w *Worker) handOnDue(ctx context.Context) error {
	return w.ledger.Alerts(ctx, w.parts.Redis, func(a budget.Alert) error {
		w.announce(ctx, a)
		return nil
	})
}

// handOnLast hands on the alerts of the last calls: where Redis ends with this
// process, nobody else will. One that is to stop at once says nothing more.
func (w *Worker) handOnLast(working context.Context) {
	if working.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(working, 5*time.Second)
	defer cancel()
	if err := w.handOnDue(ctx); err != nil {
		w.parts.Log.Debug().Err(err).Msg("looking for the last alerts")
	}
}

// announce tells of an alert everywhere. What cannot be reached is told in the
// log, and no other worker tries again: the others were told already.
func (w *Worker) announce(ctx context.Context, a budget.Alert) {
	if w.parts.OnAlert != nil {
		w.parts.OnAlert(a)
	}
	w.parts.Log.Warn().Str("account", a.Account).Stringer("limit", a.Limit).Stringer("spent", a.Spent).
		Float64("share", a.Share).Msg(a.String())
	dollars := func(u jobs.USD) float64 { return float64(u) / float64(jobs.Dollar) }
	data, err := json.Marshal(Alerted{
		Type: "budget_alert", Account: a.Account, Title: a.Title, Share: a.Share,
		Limit: dollars(a.Limit), Spent: dollars(a.Spent), At: a.At.UTC(), Text: a.String(),
	})
	if err == nil {
		err = w.parts.Queue.Announce(ctx, "budget", data)
	}
	if err != nil {
		w.parts.Log.Warn().Err(err).Msg("telling of an alert on NATS")
	}
	if w.webhook == nil {
		return
	}
	if err := w.webhook.post(ctx, data); err != nil {
		w.parts.Log.Warn().Err(err).Msg("telling the webhook of an alert")
	}
}
