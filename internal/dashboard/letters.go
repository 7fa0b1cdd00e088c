package dashboard

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"

	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

const mostLetters = 200 // on one page

// filter chooses dead letters, as the fields of a form have it.
type filter queue.DeadFilter

func filterOf(v url.Values) filter {
	return filter{Batch: v.Get("batch"), Kind: jobs.Kind(v.Get("kind")), Model: v.Get("model"), Tenant: v.Get("tenant")}
}

// Query is the filter as an address has it, "" of all letters.
func (f filter) Query() string {
	v := url.Values{}
	for name, value := range map[string]string{"batch": f.Batch, "kind": string(f.Kind), "model": f.Model, "tenant": f.Tenant} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v.Encode()
}

// Kinds are what a job can die of.
func (filter) Kinds() []jobs.Kind { return jobs.Kinds() }

func (b *Board) letters(w http.ResponseWriter, r *http.Request) {
	p := b.page(r, "Dead letters")
	p.Filter = filterOf(r.URL.Query())
	p.Chains = b.config.Servers.Chains()
	for l, err := range b.config.Servers.Queue.Dead(r.Context(), queue.DeadFilter(p.Filter)) {
		if err != nil {
			b.fail(w, err)
			return
		}
		if p.More = len(p.List) == mostLetters; p.More {
			break
		}
		l.Job.Document = jobs.Document{Source: l.Job.Document.Source} // it is not shown, and may be large
		p.List = append(p.List, l)
	}
	b.render(w, "letters", p)
}

// changeLetters replays or drops dead letters: one, or all that are chosen.
func (b *Board) changeLetters(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm() // what cannot be parsed is empty
	f := filterOf(r.PostForm)
	b.change(w, r, "/dead?"+f.Query(), func(ctx context.Context) (string, error) {
		q := b.config.Servers.Queue
		chosen := q.Dead(ctx, queue.DeadFilter(f))
		if id := r.PostFormValue("job"); id != "" {
			l, err := q.DeadLetter(ctx, r.PostFormValue("of"), jobs.ID(id))
			if err != nil {
				return "", err
			}
			chosen = func(yield func(*jobs.DeadLetter, error) bool) { yield(l, nil) }
		}
		do, done := q.Replay, "replayed"
		switch chain := r.PostFormValue("chain"); r.PostFormValue("do") {
		case "replay":
			if chain == "" {
				break
			}
			var err error
			if do, err = b.replayBy(ctx, chain, chosen); err != nil {
				return "", err
			}
			done += " by the chain " + chain
		case "drop":
			do, done = q.Drop, "dropped"
		default:
			return "", misuse{errNoSuchDeed}
		}
		n, err := wire.EachLetter(chosen, func(l *jobs.DeadLetter) error { return do(ctx, l) })
		return jobs.Counted(n, "dead letter") + " " + done, err
	})
}

// replayBy replays letters by another chain, one that could answer all of them.
func (b *Board) replayBy(ctx context.Context, chain string, letters iter.Seq2[*jobs.DeadLetter, error]) (func(context.Context, *jobs.DeadLetter) error, error) {
	otherwise, err := b.config.Servers.Otherwise(jobs.Instead{Chain: chain})
	if err != nil {
		return nil, misuse{err}
	}
	unfit, err := otherwise.Unfit(ctx, letters)
	if unfit != nil {
		return nil, misuse{fmt.Errorf("%w; nothing was replayed", unfit)}
	}
	return func(ctx context.Context, l *jobs.DeadLetter) error {
		if err := otherwise.Amend(ctx, l); err != nil {
			return err
		}
		return b.config.Servers.Queue.Replay(ctx, l)
	}, err
}

// bill is what a letter has cost.
func bill(o *jobs.Outcome) string {
	if o.CostUnknown() {
		return "unknown"
	}
	return o.Cost.Short()
}
