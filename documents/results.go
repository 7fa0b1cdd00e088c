package documents

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"

	"github.com/drover-batch/drover/jobs"
)

// Results writes outcomes as plain JSONL, one line each:
//
//	{"custom_id":"a.txt","source":"contracts/a.txt","status":"answered",
//	 "model":"small","answer":"…","usage":{"input":812,"output":40},
//	 "cost_usd":0.000389,"attempts":1}
//
// cost_usd is null where nobody knows the price of the model that was asked.
// degraded and reason, checked and quotes, ambiguous_usd and error are there
// when they have something to say; chain, prompt and system where a dead letter
// was replayed with another than its batch has.
type Results struct {
	// Transcripts adds the conversation of each document that models had with
	// tools, shortened: "transcript":[{"role":"user","text":"…"},…].
	Transcripts bool

	w io.Writer
}

// NewResults writes to w, which should be buffered.
func NewResults(w io.Writer) *Results { return &Results{w: w} }

type result struct {
	CustomID string           `json:"custom_id"`
	Source   string           `json:"source,omitempty"`
	Status   jobs.Status      `json:"status"`
	Degraded jobs.Degradation `json:"degraded,omitempty"`
	Reason   string           `json:"reason,omitempty"`
	SameAs   string           `json:"same_as,omitempty"` // whose answer this is; of another batch: batch/name
	Chain    string           `json:"chain,omitempty"`   // these three of a dead letter that was replayed otherwise
	Prompt   string           `json:"prompt,omitempty"`
	System   string           `json:"system,omitempty"`
	Model    string           `json:"model,omitempty"`
	Answer   string           `json:"answer,omitempty"`
	Checked  jobs.Rung        `json:"checked,omitempty"`
	Quotes   []jobs.Quote     `json:"quotes,omitempty"`
	Usage    jobs.Usage       `json:"usage,omitzero"`
	Cost     *decimal         `json:"cost_usd"`
	Doubtful decimal          `json:"ambiguous_usd,omitempty"` // the part of the cost nobody confirmed
	Attempts int              `json:"attempts"`
	Error    *resultError     `json:"error,omitempty"`
	Talk     []jobs.Message   `json:"transcript,omitempty"`
}

type resultError struct {
	Kind    jobs.Kind `json:"kind"`
	Message string    `json:"message"`
}

// Write adds the line of one outcome.
func (r *Results) Write(o *jobs.Outcome) error {
	line := result{
		CustomID: o.CustomID, Source: o.Source, Status: o.Status,
		Degraded: o.Degraded, Reason: o.Reason, Chain: o.Chain, Prompt: o.Prompt, System: o.System, Model: o.Model, Answer: o.Answer,
		Checked: o.Checked, Quotes: o.Quotes,
		Usage: o.Usage, Doubtful: decimal(o.Ambiguous()), Attempts: len(o.Attempts),
	}
	if !o.CostUnknown() {
		line.Cost = new(decimal(o.Cost))
	}
	if o.Kind != "" && o.Status != jobs.Answered {
		line.Error = &resultError{o.Kind, why(o)}
	}
	if s := o.SameAs; s != nil {
		if line.SameAs = s.CustomID; s.Batch != o.Batch {
			line.SameAs = s.Batch + "/" + s.CustomID
		}
	}
	if r.Transcripts {
		line.Talk = o.Transcript
	}
	_, err := r.w.Write(JSON(line))
	return err
}

// JSON is v as one line of JSON, line break included, that is safe to show on
// a terminal. It panics if v cannot be encoded.
func JSON(v any) []byte { return append(harmless(encode(v)), '\n') }

// why is the message of an outcome without an answer.
func why(o *jobs.Outcome) string {
	if o.Reason != "" {
		return o.Reason
	}
	for i := len(o.Attempts) - 1; i >= 0; i-- {
		if o.Attempts[i].Message != "" {
			return o.Attempts[i].Message
		}
	}
	return string(o.Kind)
}

// decimal is money as a JSON number of dollars, exact.
type decimal jobs.USD

// MarshalJSON implements json.Marshaler.
func (d decimal) MarshalJSON() ([]byte, error) {
	return []byte(plainUSD(jobs.USD(d))), nil
}

// encode is v as JSON on one line, with <, > and & as they are.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("documents: encoding %T: %v", v, err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'})
}

// harmless escapes, in valid JSON, the characters above ASCII that terminals
// and line readers obey: they can only be inside strings.
func harmless(line []byte) []byte {
	if bytes.IndexFunc(line, obeyed) < 0 {
		return line
	}
	out := make([]byte, 0, len(line)+64)
	for i := 0; i < len(line); {
		r, size := utf8.DecodeRune(line[i:])
		switch {
		case !obeyed(r):
			out = append(out, line[i:i+size]...)
		case r > 0xffff:
			hi, lo := surrogates(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		i += size
	}
	return out
}

func obeyed(r rune) bool {
	switch {
	case r < 0x7f, r == '\u200c', r == '\u200d':
		return false
	}
	return r == 0x7f || r >= 0x80 && r <= 0x9f || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Cf, r)
}

func surrogates(r rune) (hi, lo rune) {
	r -= 0x10000
	return 0xd800 + r>>10, 0xdc00 + r&0x3ff
}
