package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

func newDeadEdit(c *cli) *cobra.Command {
	with := ""
	var instead insteadFlags
	cmd := &cobra.Command{
		Use:   "edit BATCH DOCUMENT",
		Short: "Change the document of a dead letter, and run it again",
		Long: `Opens the document of a dead letter in an editor, $VISUAL or else $EDITOR, and
runs it again as it is then: a new run of the same job, whose outcome replaces the
dead one. A document with fields, such as a row of a table, is shown as JSON with
its text and its fields, either of which the prompt may use. With --chain, --prompt
or --system it is asked about otherwise than its batch, as by dead replay. If
nothing is changed nothing is done.`,
		Example: `  enqueue dead edit contracts lease.txt
  enqueue dead edit contracts lease.txt --prompt @mended.txt
  enqueue dead edit contracts lease.txt --with shorter.txt`,
		Args: exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(ctx context.Context, s *wire.Servers) error {
				otherwise, err := instead.of(s)
				if err != nil {
					return err
				}
				l, err := c.find(ctx, s.Queue, args[0], args[1])
				if err != nil {
					return err
				}
				before, err := editable(&l.Job.Document)
				if err != nil {
					return misused(fmt.Errorf("%s: %w", plain(l.Job.CustomID), err))
				}
				after, draft, err := c.edited(ctx, before, with)
				if err != nil {
					return err
				}
				if bytes.Equal(before, after) && otherwise == nil {
					c.say("nothing was changed, so nothing is done")
					return draft.drop()
				}
				err = amend(&l.Job.Document, after)
				if err == nil && otherwise != nil {
					err = misused(otherwise.Amend(ctx, l))
				}
				if err == nil {
					_, err = s.Queue.DeadLetter(ctx, l.Job.Batch, l.Job.ID) // which somebody may have replayed meanwhile
				}
				if err == nil {
					err = s.Queue.Replay(ctx, l)
				}
				if err != nil {
					return draft.kept(fmt.Errorf("%s: %w", plain(l.Job.CustomID), err))
				}
				c.say("changed %s%s: it waits for a worker", plain(l.Job.CustomID), instead.told())
				return draft.drop()
			})
		},
	}
	instead.register(cmd)
	cmd.Flags().StringVar(&with, "with", "", "`file` with the whole document as it is to be, - for standard input, instead of an editor")
	return cmd
}

// row is a document with fields as it is edited.
type row struct {
	Text   string            `json:"text"`
	Fields map[string]string `json:"fields"`
}

// editable is a document as people change it.
func editable(d *jobs.Document) ([]byte, error) {
	switch {
	case d.Type != "":
		return nil, fmt.Errorf("it is an image (%s), which cannot be edited here: submit another", d.Type)
	case len(d.Fields) == 0:
		return d.Body, nil
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(row{string(d.Body), d.Fields})
	return out.Bytes(), err
}

// amend takes over what editable's text was changed to.
func amend(d *jobs.Document, text []byte) error {
	switch {
	case !utf8.Valid(text):
		return misused(errors.New("it is not text in UTF-8 any more: save it so"))
	case len(text) > queue.MaxBody:
		return misused(queue.ErrTooLarge)
	case len(bytes.TrimSpace(text)) == 0:
		return misused(errors.New("it is empty: enqueue dead drop forgets a document"))
	case d.Ready() && !isObject(text):
		return misused(errors.New("it is not a JSON object any more, as the request to a model has to be"))
	case len(d.Fields) == 0:
		d.Body = text
		return nil
	}
	r := json.NewDecoder(bytes.NewReader(text))
	r.DisallowUnknownFields()
	var changed row
	if err := r.Decode(&changed); err != nil {
		return misused(fmt.Errorf("a document with fields is JSON with text and fields, all of them texts: %w", err))
	}
	d.Body, d.Fields = []byte(changed.Text), changed.Fields
	return nil
}

func isObject(text []byte) bool {
	return json.Valid(text) && bytes.HasPrefix(bytes.TrimSpace(text), []byte("{"))
}

// edited returns what becomes of the text, from the file or by the editor. The
// draft is where the editor has left it.
func (c *cli) edited(ctx context.Context, text []byte, with string) ([]byte, draft, error) {
	switch with {
	case "":
		return c.inEditor(ctx, text)
	case "-":
		after, err := io.ReadAll(io.LimitReader(c.in, queue.MaxBody+1))
		return after, "", err
	}
	after, err := os.ReadFile(with)
	return after, "", misused(err)
}

func (c *cli) inEditor(ctx context.Context, text []byte) (_ []byte, d draft, err error) {
	editor := strings.Fields(cmp.Or(os.Getenv("VISUAL"), os.Getenv("EDITOR")))
	if len(editor) == 0 {
		return nil, "", misused(errors.New("there is no editor: set EDITOR, or name a file that holds the document as it is to be with --with"))
	}
	f, err := os.CreateTemp("", "drover-*.txt") // for nobody else to read
	if err != nil {
		return nil, "", err
	}
	d = draft(f.Name())
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, "", errors.Join(err, d.drop())
	}
	cmd := exec.CommandContext(ctx, editor[0], append(editor[1:], f.Name())...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.in, c.out, c.err
	if err := cmd.Run(); err != nil {
		return nil, d, d.kept(fmt.Errorf("the editor %s: %w", editor[0], err))
	}
	after, err := os.ReadFile(f.Name())
	return after, d, err
}

// draft is the file that an editor was given; empty if there was none.
type draft string

func (d draft) drop() error {
	if d == "" {
		return nil
	}
	return os.Remove(string(d))
}

// kept says where a draft is that came to nothing.
func (d draft) kept(err error) error {
	if d == "" {
		return err
	}
	return fmt.Errorf("%w; nothing was done, and your text is in %s, for --with", err, d)
}
