package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

// deadFlags choose dead letters.
type deadFlags struct {
	kind, model, tenant string
	all                 bool
}

func (d *deadFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&d.kind, "kind", "", "only letters that died of this `kind` of failure, such as timeout")
	f.StringVar(&d.model, "model", "", "only letters that this `model` was tried for")
	f.StringVar(&d.tenant, "tenant", "", "only this `tenant`'s")
}

// check refuses a kind that there is none of: no letter ever died of it.
func (d *deadFlags) check() error {
	if d.kind == "" || slices.Contains(jobs.Kinds(), jobs.Kind(d.kind)) {
		return nil
	}
	var names []string
	for _, k := range jobs.Kinds() {
		names = append(names, string(k))
	}
	if near := config.DidYouMean(d.kind, names); near != "" {
		return misused(fmt.Errorf("--kind %q%s", d.kind, near))
	}
	return misused(fmt.Errorf("--kind %q: use one of %s", d.kind, strings.Join(names, ", ")))
}

func (d *deadFlags) filter() queue.DeadFilter {
	return queue.DeadFilter{Kind: jobs.Kind(d.kind), Model: d.model, Tenant: d.tenant}
}

func newDead(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead",
		Short: "Look at dead letters, edit them, replay them, drop them",
		Long: `A document that no model could answer is kept as a dead letter, whole, with all
that was tried. Replayed, it is asked about again, also by another chain or with
another prompt; its outcome then replaces the dead one. Letters of a batch that was cancelled, or whose deadline has gone
by, stay as they are.`,
		Args: commandsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDeadList(c), newDeadShow(c), newDeadEdit(c), newDeadReplay(c), newDeadDrop(c))
	return cmd
}

func newDeadList(c *cli) *cobra.Command {
	var d deadFlags
	cmd := &cobra.Command{
		Use:   "list [BATCH]",
		Short: "List dead letters",
		Args:  atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.letters(cmd.Context(), &d, args, c.listLetters)
		},
	}
	d.register(cmd)
	return cmd
}

// letters runs f over the letters that were chosen.
func (c *cli) letters(ctx context.Context, d *deadFlags, args []string, f func(context.Context, *wire.Servers, queue.DeadFilter) error) error {
	if err := d.check(); err != nil {
		return err
	}
	return c.with(ctx, func(ctx context.Context, s *wire.Servers) error {
		filter := d.filter()
		if len(args) > 0 {
			b, err := c.batch(ctx, s.Queue, args[0])
			if err != nil {
				return err
			}
			filter.Batch = b.ID
		}
		return f(ctx, s, filter)
	})
}

func (c *cli) listLetters(ctx context.Context, s *wire.Servers, filter queue.DeadFilter) error {
	table := newTable(c.out)
	count := 0
	for l, err := range s.Queue.Dead(ctx, filter) {
		if err != nil {
			return err
		}
		if count++; c.json {
			if err := c.print(summaryOf(l)); err != nil {
				return err
			}
			continue
		}
		if count == 1 {
			table.row("BATCH", "DOCUMENT", "KIND", "TRIES", "COST", "AMBIGUOUS", "WHY")
		}
		table.row(l.Job.Batch, l.Job.CustomID, l.Outcome.Kind, len(l.Outcome.Attempts), billOf(l.Outcome), l.Outcome.Ambiguous(), clip(plain(l.Outcome.Reason), 80))
	}
	if count == 0 && !c.json {
		c.say("no dead letters")
	}
	return table.flush()
}

// letter is a dead letter for scripts. It says all but the document itself.
type letter struct {
	Batch    string           `json:"batch"`
	CustomID string           `json:"custom_id"`
	Job      jobs.ID          `json:"job"`
	Source   string           `json:"source,omitempty"`
	Run      int              `json:"run"`
	Chain    string           `json:"chain,omitempty"` // these three as results have them
	Prompt   string           `json:"prompt,omitempty"`
	System   string           `json:"system,omitempty"`
	Kind     jobs.Kind        `json:"kind"`
	Reason   string           `json:"reason"`
	Cost     bill             `json:"cost_usd"`
	Doubt    float64          `json:"ambiguous_usd"`
	Attempts []jobs.Attempt   `json:"attempts"`
	Skipped  []jobs.Skip      `json:"skipped,omitempty"`
	Rejected []jobs.Rejection `json:"rejected,omitempty"`
	Finished time.Time        `json:"finished"`
}

func summaryOf(l *jobs.DeadLetter) letter {
	o := l.Outcome
	return letter{o.Batch, o.CustomID, o.Job, o.Source, o.Run, o.Chain, o.Prompt, o.System, o.Kind, o.Reason, billOf(o), dollars(o.Ambiguous()), o.Attempts, o.Skipped, o.Rejected, o.Finished}
}

func newDeadShow(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "show BATCH DOCUMENT",
		Short: "Show one dead letter with all its attempts and its document",
		Args:  exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(ctx context.Context, s *wire.Servers) error {
				l, err := c.find(ctx, s.Queue, args[0], args[1])
				if err != nil {
					return err
				}
				var before []jobs.Attempt // of deliveries that led to no outcome
				for w, err := range s.Queue.WastesOf(ctx, l.Job.Batch, l.Job.ID) {
					if err != nil {
						return err
					}
					before = append(before, w.Attempts...)
				}
				if c.json {
					return c.print(struct {
						letter
						Before   []jobs.Attempt `json:"attempts_before,omitempty"`
						Talk     []jobs.Message `json:"transcript,omitempty"`
						Document string         `json:"document"`
					}{summaryOf(l), before, l.Outcome.Transcript, string(l.Job.Document.Body)})
				}
				showLetter(c.out, l, before)
				return nil
			})
		},
	}
}

// find finds a letter by what the user calls the document, or by the job's id.
func (c *cli) find(ctx context.Context, q *queue.Queue, batch, name string) (*jobs.DeadLetter, error) {
	b, err := c.batch(ctx, q, batch)
	if err != nil {
		return nil, err
	}
	l, err := q.DeadLetter(ctx, b.ID, jobs.NewID(b.ID, name))
	if errors.Is(err, queue.ErrNoDeadLetter) && isID(name) {
		l, err = q.DeadLetter(ctx, b.ID, jobs.ID(name))
	}
	if errors.Is(err, queue.ErrNoDeadLetter) {
		return nil, misused(fmt.Errorf("no dead letter of %q in batch %s: enqueue dead list %[2]s lists them", name, b.ID))
	}
	return l, err
}

func isID(s string) bool {
	if len(s) != len(jobs.NewID("", "")) {
		return false
	}
	for _, r := range s {
		if (r < '0' || r > '9') && (r < 'a' || r > 'f') {
			return false
		}
	}
	return true
}

func showLetter(w io.Writer, l *jobs.DeadLetter, before []jobs.Attempt) {
	o := l.Outcome
	tell(w, "document  %s", plain(o.CustomID))
	tell(w, "source    %s", plain(o.Source))
	tell(w, "job       %s, run %d of batch %s", plain(string(o.Job)), o.Run, plain(o.Batch))
	showInstead(w, l)
	tell(w, "died      %s of %s: %s", o.Finished.Local().Format(time.DateTime), plain(string(o.Kind)), plain(o.Reason))
	cost := billOf(o).String()
	if part := o.Ambiguous(); part > 0 {
		cost += fmt.Sprintf(", of which %s is ambiguous: sent, but nobody confirmed it", part)
	}
	tell(w, "cost      %s", cost)
	for _, s := range o.Skipped {
		tell(w, "skipped   %s: %s", plain(s.Model), plain(s.Why))
	}
	tell(w, "")
	showAttempts(w, o.Attempts)
	if len(before) > 0 {
		tell(w, "\nin earlier deliveries, which handed the job back, at further cost:")
		showAttempts(w, before)
	}
	showTranscript(w, o.Transcript)
	showRejected(w, o.Rejected)
	tell(w, "\n%s", clip(string(l.Job.Document.Body), 2000))
}

// showInstead shows what the last run was asked with instead of what the batch says.
func showInstead(w io.Writer, l *jobs.DeadLetter) {
	i := l.Job.Instead
	if i.Reroutes() {
		tell(w, "chain     %s, and not the batch's", plain(i.Chain))
	}
	if i != nil && i.Prompt != nil {
		tell(w, "prompt    %s, and not the batch's: %s", l.Outcome.Prompt, clip(plain(*i.Prompt), 300))
	}
	if i != nil && i.System != nil {
		tell(w, "system    %s, and not the batch's: %s", l.Outcome.System, clip(plain(*i.System), 300))
	}
}

func showAttempts(w io.Writer, attempts []jobs.Attempt) {
	for i, a := range attempts {
		result := plain(a.Message)
		if a.Kind == "" {
			result = "answered"
		}
		if a.Step != "" {
			result = plain(a.Step) + ": " + result
		}
		tell(w, "%3d  run %d  %s  %s  %s  %s %s  %s", i+1, a.Run, a.Started.Local().Format(time.TimeOnly), plain(a.Model),
			a.Took.Round(time.Millisecond), a.Cost, plain(string(a.Billing)), result)
	}
}

// showRejected shows the answers that did not do, and why.
func showRejected(w io.Writer, rejected []jobs.Rejection) {
	for i, r := range rejected {
		step := ""
		if r.Step != "" {
			step = ", " + plain(r.Step)
		}
		tell(w, "\nanswer %d, by %s%s, did not do:", i+1, plain(r.Model), step)
		for _, f := range r.Flaws {
			at, near := "", ""
			if f.At != "" {
				at = " at " + plain(f.At)
			}
			if f.Near != "" {
				near = "; the nearest is: " + clip(plain(f.Near), 200)
			}
			tell(w, "  %s%s: %s%s", plain(f.Check), at, clip(plain(f.Message), 300), near)
		}
		tell(w, "  it was: %s", clip(plain(r.Answer), 1000))
	}
}
