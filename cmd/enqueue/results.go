package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/documents"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

// target is where results go.
type target struct {
	out    string // a file, or - for stdout
	errors string // for OpenAI batch files: what has no answer
	openAI bool
	talk   bool // conversations with tools too
	csv    bool // a table, whatever the batch came as
	stdout io.Writer
	say    func(format string, args ...any) // how far the writing has come

	lines, errorLines int64
}

// check reports a file that cannot be written, or is to be written twice, before
// any work is done.
func (t *target) check() error {
	if t.out != "-" {
		if err := documents.CheckWritable(t.out); err != nil {
			return err
		}
	}
	switch {
	case t.errors == "":
		return nil
	case t.errors == "-":
		return errors.New("--errors -: name a file; with --out - alone, what has no answer is among the results")
	case slices.Equal(absolute([]string{t.out}), absolute([]string{t.errors})):
		return fmt.Errorf("--out and --errors are both %s: one would be written over the other", t.out)
	}
	return documents.CheckWritable(t.errors)
}

// failures is the file for what has no answer, by default next to that of the
// results.
func (t *target) failures() string {
	if t.errors != "" {
		return t.errors
	}
	ext := filepath.Ext(t.out)
	return strings.TrimSuffix(t.out, ext) + ".errors" + ext
}

// files are those that may be written.
func (t *target) files() []string {
	return slices.DeleteFunc([]string{t.out, t.failures()}, func(path string) bool { return path == "-" })
}

// spares refuses to write the results over what is to be read: a file that is
// named, or one in a folder or behind a pattern that holds no earlier results.
func (t *target) spares(paths []string) error {
	for _, file := range t.files() {
		written, err := os.Stat(file)
		if err != nil || !written.Mode().IsRegular() {
			continue
		}
		for _, path := range paths {
			read, err := os.Stat(path)
			found := err != nil && strings.ContainsAny(path, "*?[") || err == nil && read.IsDir() && inside(file, path)
			if err == nil && os.SameFile(read, written) || found && !holdsResults(file) {
				return fmt.Errorf("the results would be written over %s, which is to be read: name another file with --out or --errors", file)
			}
		}
	}
	return nil
}

// inside reports whether a file is below a folder.
func inside(file, folder string) bool {
	both := absolute([]string{folder, file})
	rel, err := filepath.Rel(both[0], both[1])
	return err == nil && filepath.IsLocal(rel)
}

// holdsResults reports whether a file is empty or begins as one of ours does.
func holdsResults(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	head, err := io.ReadAll(io.LimitReader(f, 64))
	return err == nil && (len(head) == 0 || slices.ContainsFunc([]string{`{"custom_id":`, `{"id":"batch_req_`, `"custom_id","source"`}, func(begin string) bool {
		return strings.HasPrefix(string(head), begin)
	}))
}

// write writes the results so that a signal ends the writing, and leaves no half
// of a file behind, rather than the process. The next one does.
func (c *cli) write(ctx context.Context, t *target, q *queue.Queue, batch string, sum *summary) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, func() {
		stop()
		c.say("interrupted before all results were written; the same command writes them")
	})()
	err := t.write(ctx, q, batch, sum)
	if ctx.Err() != nil {
		return &exit{code: exitInterrupted}
	}
	return err
}

// write writes every outcome of the batch, whole files or none, and counts
// them in sum.
func (t *target) write(ctx context.Context, q *queue.Queue, batch string, sum *summary) error {
	apart := t.openAI && (t.out != "-" || t.errors != "")
	all := func(answers io.Writer) error {
		if !apart {
			return t.copy(ctx, q, batch, sum, answers, answers)
		}
		t.errors = t.failures()
		return documents.WriteAtomically(t.errors, func(failures io.Writer) error {
			return t.copy(ctx, q, batch, sum, answers, failures)
		})
	}
	if t.out == "-" {
		return t.stream(t.stdout, all)
	}
	return documents.WriteAtomically(t.out, all)
}

func (t *target) stream(w io.Writer, write func(io.Writer) error) error {
	b := bufio.NewWriter(w)
	return errors.Join(write(b), b.Flush())
}

func (t *target) copy(ctx context.Context, q *queue.Queue, batch string, sum *summary, answers, failures io.Writer) error {
	lines := documents.NewResults(answers)
	lines.Transcripts = t.talk
	var plain interface{ Write(*jobs.Outcome) error } = lines
	if t.csv {
		table := documents.NewCSVResults(answers)
		if err := table.Begin(); err != nil {
			return err
		}
		plain = table
	}
	openAI := documents.NewBatchResults(answers, failures)
	outcomes := soFar(q.Outcomes(ctx, batch), func(done int) { t.say("%s written so far", jobs.Counted(done, "result")) })
	for o, err := range outcomes {
		if err != nil {
			return fmt.Errorf("reading the outcomes of batch %s: %w", batch, err)
		}
		sum.add(o)
		if t.openAI {
			err = openAI.Write(o)
		} else {
			err = plain.Write(o)
		}
		if err != nil {
			return fmt.Errorf("writing the result of %s: %w", o.CustomID, err)
		}
		if t.openAI && o.Status != jobs.Answered {
			t.errorLines++
		} else {
			t.lines++
		}
	}
	return ctx.Err()
}

// told says what was written where.
func (t *target) told() string {
	name := t.out
	if name == "-" {
		name = "standard output"
	}
	text := fmt.Sprintf("%s in %s", jobs.Counted(t.lines, "result"), name)
	switch {
	case t.openAI && t.out == "-" && t.errors == "":
		text = fmt.Sprintf("%s and %s in %s", jobs.Counted(t.lines, "result"), jobs.Counted(t.errorLines, "error"), name)
	case t.openAI:
		text += fmt.Sprintf(", %s in %s", jobs.Counted(t.errorLines, "error"), t.errors)
	}
	return text
}

func newResults(c *cli) *cobra.Command {
	t := &target{stdout: c.out, say: c.say}
	format := "auto"
	cmd := &cobra.Command{
		Use:   "results BATCH",
		Short: "Write the outcomes there are, one line each",
		Example: `  enqueue results contracts --out contracts.jsonl
  enqueue results contracts --out contracts.csv
  enqueue results requests-0123456789 --format openai --out output.jsonl --errors errors.jsonl`,
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains([]string{"auto", "plain", "openai", "csv"}, format) {
				return misused(fmt.Errorf("--format %q: use auto, plain, openai or csv", format))
			}
			if err := t.check(); err != nil {
				return misused(err)
			}
			return c.with(cmd.Context(), func(ctx context.Context, s *wire.Servers) error {
				return c.results(ctx, s.Queue, args[0], format, t)
			})
		},
	}
	cmd.Flags().StringVarP(&t.out, "out", "o", "-", "`file` for the results, - for standard output")
	cmd.Flags().StringVar(&t.errors, "errors", "", "`file` for what has no answer, in the openai format (default: next to --out)")
	cmd.Flags().BoolVar(&t.talk, "transcript", false, "with the conversations of models and tools, in plain lines")
	cmd.Flags().StringVar(&format, "format", "auto", "`form` of the lines: plain, openai (batch output files), csv (for spreadsheets), or auto: csv for a --out that is called so, else as the batch came")
	return cmd
}

func (c *cli) results(ctx context.Context, q *queue.Queue, name, format string, t *target) error {
	b, err := c.batch(ctx, q, name)
	if err != nil {
		return err
	}
	t.openAI, t.csv = format == "openai", format == "csv" || format == "auto" && isCSV(t.out)
	if format == "auto" && !t.csv {
		if t.openAI, err = cameReady(ctx, q, b.ID); err != nil {
			return err
		}
	}
	sum := newSummary(0)
	if err := c.write(ctx, t, q, b.ID, sum); err != nil {
		return err
	}
	if t.out != "-" {
		c.say("%s", t.told())
	}
	if sum.checked.any() {
		c.say("checked answers: %s", sum.checked)
	}
	return nil
}

func isCSV(file string) bool { return strings.EqualFold(filepath.Ext(file), ".csv") }

// cameReady reports whether the batch came as an OpenAI batch file. Of outcomes
// that an earlier build stored only answers tell, which keep the provider's
// whole response.
func cameReady(ctx context.Context, q *queue.Queue, batch string) (bool, error) {
	for o, err := range q.Outcomes(ctx, batch) {
		if err != nil {
			return false, err
		}
		if o.Ready || o.Status == jobs.Answered {
			return o.Ready || len(o.Response) > 0, nil
		}
	}
	return false, nil
}
