package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/drover-batch/drover/documents"
	"github.com/drover-batch/drover/internal/trace"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

// intake is what came of reading the documents.
type intake struct {
	documents int64 // that became jobs, now or before
	problems  int64
	openAI    bool // the documents are requests, of an OpenAI batch file
}

func (in *intake) add(item documents.Item) {
	in.documents++
	in.openAI = in.openAI || item.Document.Ready()
}

// feeder puts documents into a queue.
type feeder struct {
	input  *input
	prompt *documents.Prompt
	reader *documents.Reader
	report func(*documents.Problem)
	say    func(format string, args ...any)
	full   func(waited time.Duration)

	tracer *trace.Tracer // nil if nobody asked for traces

	only      map[string]bool // the custom ids to take; nil for all
	silent    bool            // the problems have been reported
	shown     bool            // a display shows how far it has come
	kept      bool            // it was said what the batch keeps
	demanding bool            // answers are checked
}

// check reads everything once without enqueueing, for --strict. Afterwards no
// problem is reported a second time.
func (f *feeder) check(ctx context.Context) error {
	if f.piped() {
		return misused(errors.New("--strict reads everything twice, which standard input cannot be: save it in a file"))
	}
	count := int64(0)
	for _, problem := range f.read(ctx) {
		if problem != nil {
			f.report(problem)
			count++
		}
	}
	if count > 0 {
		return misused(fmt.Errorf("nothing was enqueued: %s left out, and --strict was given", jobs.Counted(count, "document")))
	}
	return ctx.Err()
}

// read yields the documents that the prompt can be asked about, and tells how
// far it has come where nobody else does.
func (f *feeder) read(ctx context.Context) iter.Seq2[documents.Item, *documents.Problem] {
	if f.shown {
		return f.suitable(ctx)
	}
	return soFar(f.suitable(ctx), func(done int) { f.say("%s read so far", jobs.Counted(done, "document")) })
}

func (f *feeder) suitable(ctx context.Context) iter.Seq2[documents.Item, *documents.Problem] {
	return func(yield func(documents.Item, *documents.Problem) bool) {
		for item, problem := range f.reader.Read(ctx, f.input.paths...) {
			if problem == nil {
				if err := f.prompt.Check(&item.Document); err != nil {
					problem = &documents.Problem{Source: item.Document.Source, Reason: messageOf(err), Fix: "correct the prompt or leave the document out"}
				} else if err := f.suits(&item.Document); err != nil {
					problem = &documents.Problem{Source: item.Document.Source, Reason: err.Error(), Fix: "leave it or these flags out"}
				}
			}
			if problem == nil && f.only != nil && !f.only[item.CustomID] {
				continue
			}
			if !yield(item, problem) {
				return
			}
		}
	}
}

// suits reports why the answers about a document cannot be checked.
func (f *feeder) suits(d *jobs.Document) error {
	if !f.demanding {
		return nil
	}
	return f.input.standard.Suits(d)
}

// feed enqueues the documents, going on where an earlier run stopped. A batch
// without any document is not begun.
func (f *feeder) feed(ctx context.Context, q *queue.Queue, b *jobs.Batch) (in intake, err error) {
	handover := f.tracer.HandIn("submit", b.ID)
	defer func() { handover.End(in.documents, err) }()
	begin := func() (*queue.Writer, error) {
		w, err := q.Enqueue(ctx, b)
		if errors.Is(err, queue.ErrCancelled) {
			return nil, misused(fmt.Errorf("the batch %s was cancelled, which is for good: begin another with --name", b.ID))
		}
		if err == nil {
			w.Full, w.Mark, w.Traceparent = f.full, mark, handover.Traceparent
			f.keeps(w.Batch(), b)
		}
		return w, err
	}
	w, same, in, err := f.skip(ctx, begin)
	if err == nil && !same {
		if f.piped() {
			return in, misused(fmt.Errorf("standard input is not what the batch %s began with; give it another --name", b.ID))
		}
		in, err = f.merge(ctx, w)
	}
	switch {
	case err != nil:
		return in, err
	case ctx.Err() != nil:
		return in, context.Cause(ctx)
	case w == nil:
		return in, misused(fmt.Errorf("there is no document to ask about in %s", strings.Join(f.input.paths, " ")))
	}
	return in, w.Close(ctx)
}

// keeps says, once, which settings do not count because the batch has begun with
// others.
func (f *feeder) keeps(has, asked *jobs.Batch) {
	var flags []string
	for _, s := range []struct {
		flag  string
		other bool
	}{
		{"--budget", asked.Budget != 0 && asked.Budget != has.Budget},
		{"--when-spent", asked.WhenSpent != jobs.PauseWhenSpent && asked.WhenSpent != has.WhenSpent},
		{"--alert-at", len(asked.AlertAt) > 0 && !slices.Equal(asked.AlertAt, has.AlertAt)},
		{"--cheaper-at", asked.CheaperAt != 0 && asked.CheaperAt != has.CheaperAt},
		{"--deadline", !asked.Deadline.IsZero() && has.Deadline.IsZero()},
		{"--weight", asked.Weight > 1 && asked.Weight != has.Weight},
		{"--when-limited", asked.WhenLimited != "" && asked.WhenLimited != has.WhenLimited},
		{"--cached", asked.Degrade.Cached && !has.Degrade.Cached},
		{"--unavailable", asked.Degrade.Unavailable != "" && asked.Degrade.Unavailable != has.Degrade.Unavailable},
		{"--dedupe", asked.Dedupe != "" && asked.Dedupe != has.Dedupe},
		{"the bounds of conversations", asked.Guardrails != jobs.Guardrails{} && asked.Guardrails != has.Guardrails},
	} {
		if s.other {
			flags = append(flags, s.flag)
		}
	}
	if len(flags) == 0 || f.kept {
		return
	}
	f.kept = true
	f.say("the batch %s has begun, and keeps what it has instead of %s: enqueue budget set changes its budget, another --name begins another batch", has.ID, strings.Join(flags, ", "))
}

// skip passes over what is in already and enqueues the rest. It begins with
// the first document there is, and returns no writer if there is none. same is
// false, and nothing enqueued, if the input is not the one begun with.
func (f *feeder) skip(ctx context.Context, begin func() (*queue.Writer, error)) (w *queue.Writer, same bool, in intake, err error) {
	var stored, at queue.Position
	for item, problem := range f.read(ctx) {
		if problem != nil {
			if !f.silent {
				f.report(problem)
			}
			in.problems++
			continue
		}
		if w == nil {
			if w, err = begin(); err != nil {
				return nil, false, in, err
			}
			stored = w.Position()
		}
		in.add(item)
		if at.Count < stored.Count {
			if at = at.Next(item.CustomID, mark(&item.Document)); at.Count == stored.Count && at != stored {
				return w, false, in, nil
			}
			continue
		}
		if w.Sealed() {
			return w, false, in, nil
		}
		if err := w.Add(ctx, item.CustomID, item.Document); err != nil {
			return w, true, in, err
		}
	}
	// Documents that went away change nothing: their jobs are in. But of standard
	// input none goes away.
	return w, !f.piped() || at.Count >= stored.Count || ctx.Err() != nil, in, nil
}

// piped reports whether standard input is among the paths.
func (f *feeder) piped() bool { return slices.Contains(f.input.paths, "-") }

// mark tells what came from standard input apart by what it says: its custom
// ids are made up, and would be the same for any other.
func mark(d *jobs.Document) string {
	if !strings.HasPrefix(d.Source, "stdin") {
		return ""
	}
	h := sha256.New()
	_ = json.NewEncoder(h).Encode(d) // of strings, which can be encoded
	_, _ = h.Write(d.Body)
	return hex.EncodeToString(h.Sum(nil))
}

// merge adds what is new of an input that has changed since it was begun.
func (f *feeder) merge(ctx context.Context, w *queue.Writer) (in intake, err error) {
	known, err := w.Known(ctx)
	if err != nil {
		return in, err
	}
	for item, problem := range f.read(ctx) {
		if problem != nil {
			in.problems++
			continue
		}
		in.add(item)
		if _, ok := known[jobs.NewID(w.Batch().ID, item.CustomID)]; ok {
			continue
		}
		if w.Sealed() {
			if err := w.Reopen(ctx); err != nil {
				return in, err
			}
		}
		if err := w.Add(ctx, item.CustomID, item.Document); err != nil {
			return in, err
		}
	}
	return in, nil
}

// messageOf is what a failure says to people, without its kind.
func messageOf(err error) string {
	if fail, ok := errors.AsType[*jobs.Failure](err); ok {
		return fail.Message
	}
	return err.Error()
}
