package documents

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/drover-batch/drover/jobs"
)

// CSVResults writes outcomes as a table for spreadsheets, in UTF-8 and with
// every value in quotes. A value that a spreadsheet would take for a formula
// gets a ' in front: one that begins with =, +, - or @, with a tab or with a
// carriage return, and is no plain number.
type CSVResults struct {
	w     io.Writer
	begun bool
}

// NewCSVResults writes to w, which should be buffered.
func NewCSVResults(w io.Writer) *CSVResults { return &CSVResults{w: w} }

var csvColumns = []string{
	"custom_id", "source", "status", "degraded", "reason", "model", "answer",
	"input_tokens", "output_tokens", "cost_usd", "ambiguous_usd", "attempts", "error_kind", "error",
	"chain", "prompt", "system", // of a dead letter that was replayed with another than its batch has
}

// Write adds the row of one outcome, and the header before the first.
func (r *CSVResults) Write(o *jobs.Outcome) error {
	if err := r.Begin(); err != nil {
		return err
	}
	kind, message := "", ""
	if o.Kind != "" && o.Status != jobs.Answered {
		kind, message = string(o.Kind), why(o)
	}
	cost := ""
	if !o.CostUnknown() {
		cost = plainUSD(o.Cost)
	}
	return r.row(
		o.CustomID, o.Source, string(o.Status), string(o.Degraded), o.Reason, o.Model, o.Answer,
		strconv.FormatInt(o.Usage.Input, 10), strconv.FormatInt(o.Usage.Output, 10),
		cost, plainUSD(o.Ambiguous()), strconv.Itoa(len(o.Attempts)), kind, message,
		o.Chain, o.Prompt, o.System,
	)
}

// Begin writes the header, unless it is there.
func (r *CSVResults) Begin() error {
	if r.begun {
		return nil
	}
	r.begun = true
	return r.row(csvColumns...)
}

func (r *CSVResults) row(values ...string) error {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = `"` + strings.ReplaceAll(unformulated(v), `"`, `""`) + `"`
	}
	_, err := fmt.Fprintln(r.w, strings.Join(quoted, ","))
	return err
}

func plainUSD(u jobs.USD) string { return strings.Replace(u.String(), "$", "", 1) }

var plainNumber = regexp.MustCompile(`^[-+]?[0-9]+([.,][0-9]+)*$`)

// unformulated makes text from outside safe to open in a spreadsheet and to
// show on a terminal.
func unformulated(v string) string {
	shown := Terminal(v)
	if formula(v) || formula(shown) {
		return "'" + shown
	}
	return shown
}

func formula(v string) bool {
	begins := []rune(strings.TrimLeft(v, " \n"))
	return len(begins) > 0 && strings.ContainsRune("=+-@\t\r＝＋－＠", begins[0]) && !plainNumber.MatchString(v)
}
