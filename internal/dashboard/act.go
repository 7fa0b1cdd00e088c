package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/drover-batch/drover/jobs"
)

var errNoSuchDeed = errors.New("there is no such thing to do: use the buttons of the page")

// changeBatch pauses, resumes or cancels a batch, or gives it another limit.
func (b *Board) changeBatch(w http.ResponseWriter, r *http.Request) {
	id, s := r.PathValue("batch"), b.config.Servers
	b.change(w, r, "/batches/"+url.PathEscape(id), func(ctx context.Context) (string, error) {
		switch r.PostFormValue("do") {
		case "pause":
			return "paused: calls that are running finish", s.Queue.Pause(ctx, id, "somebody paused it in the dashboard")
		case "resume":
			return "resumed", s.Queue.Resume(ctx, id)
		case "cancel":
			_, err := s.Queue.Cancel(ctx, id)
			return "cancelled: what is being asked already may be answered, the rest is given up", err
		case "budget":
			limit, err := limitOf(r)
			if err != nil {
				return "", err
			}
			return "its limit is " + said(limit, "none") + " from the next call on", s.SetBudget(ctx, id, limit)
		default:
			return "", misuse{errNoSuchDeed}
		}
	})
}

// changeBudget gives a budget of the configuration another limit.
func (b *Board) changeBudget(w http.ResponseWriter, r *http.Request) {
	b.change(w, r, "/", func(ctx context.Context) (string, error) {
		name := r.PostFormValue("name")
		limit, err := limitOf(r)
		if err != nil {
			return "", err
		}
		err = b.config.Servers.SetLimit(ctx, name, limit)
		return fmt.Sprintf("the limit of %s is %s from the next call on", name, said(limit, "what drover.yaml says")), err
	})
}

// limitOf reads an amount in dollars; nothing is 0, no limit of that kind.
func limitOf(r *http.Request) (jobs.USD, error) {
	text := strings.TrimSpace(r.PostFormValue("limit"))
	if text == "" {
		return 0, nil
	}
	limit, err := jobs.ParseUSD(text)
	if err == nil && limit == 0 {
		err = errors.New("a limit of nothing answers nothing: pause the batch instead")
	}
	if err != nil {
		return 0, misuse{err}
	}
	return limit, nil
}

func said(limit jobs.USD, none string) string {
	if limit == 0 {
		return none
	}
	return limit.String()
}

// change does something and shows the page again, with what it came to.
func (b *Board) change(w http.ResponseWriter, r *http.Request, back string, do func(context.Context) (string, error)) {
	told := ""
	err := b.config.Servers.Allowed(context.WithoutCancel(r.Context()), func(ctx context.Context) (err error) { // half of it is worse than all of it
		told, err = do(ctx)
		return err
	})
	b.looks.renew()
	if err != nil {
		b.fail(w, err)
		return
	}
	sep := "?"
	if strings.Contains(back, "?") {
		sep = "&"
	}
	http.Redirect(w, r, back+sep+"told="+url.QueryEscape(told), http.StatusSeeOther)
}
