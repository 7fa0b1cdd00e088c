package jobs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// Demands is what the answers of a batch must be like. The zero value takes
// any answer.
type Demands struct {
	Schema json.RawMessage `json:"schema,omitempty"` // JSON Schema that the answer matches
	Quotes []string        `json:"quotes,omitempty"` // where in it strings quote the document word for word
	Expect []string        `json:"expect,omitempty"` // expressions that hold of it

	// Judge names a model or a chain of the configuration that has to agree to
	// the answer; JudgePrompt is what it is asked, empty for the default.
	Judge       string `json:"judge,omitempty"`
	JudgePrompt string `json:"judge_prompt,omitempty"`
}

// Any reports whether anything is demanded.
func (d *Demands) Any() bool {
	return len(d.Schema) > 0 || len(d.Quotes) > 0 || len(d.Expect) > 0 || d.Judge != ""
}

// Overlong says what becomes of a document that is too long for a model.
type Overlong string

// AskLarger, the default, goes on to the next model with room; a document that
// fits none is a dead letter. Split cuts it into pieces for the model whose
// turn it is, asks about each and combines the answers. Shorten leaves out its
// middle. BuryOverlong ends the job, so that no dearer model is asked.
// LargerOrSplit and LargerOrShorten do so only if no model has room.
const (
	AskLarger       Overlong = "larger"
	Split           Overlong = "split"
	Shorten         Overlong = "shorten"
	BuryOverlong    Overlong = "bury"
	LargerOrSplit   Overlong = "larger,split"
	LargerOrShorten Overlong = "larger,shorten"
)

// Validate reports a policy that is none of them; empty is the default.
func (o Overlong) Validate() error {
	switch o {
	case "", AskLarger, Split, Shorten, BuryOverlong, LargerOrSplit, LargerOrShorten:
		return nil
	}
	return fmt.Errorf("overflow %q: use larger, split, shorten or bury, or larger,split or larger,shorten", string(o))
}

// Larger reports whether a model with more room comes first.
func (o Overlong) Larger() bool { return o == "" || strings.HasPrefix(string(o), string(AskLarger)) }

// Resort is what is done when no larger model is wanted, or none has room:
// Split, Shorten, BuryOverlong or, empty, nothing.
func (o Overlong) Resort() Overlong {
	return Overlong(strings.TrimPrefix(strings.TrimPrefix(string(o), string(AskLarger)), ","))
}

// Rung is how far Drover had to go for an answer that does.
type Rung string

// The rungs, from the first to the last resort. AtOnce answers passed as they
// came. Extracted ones stood inside a code fence or among other words, and
// nothing else was wrong with them. Repaired ones came when the model was told
// what was wrong. Escalated ones are a later model's, because none by an
// earlier one did.
const (
	AtOnce    Rung = "valid"
	Extracted Rung = "extracted"
	Repaired  Rung = "repaired"
	Escalated Rung = "escalated"
)

// Finding is what an examination of an answer came to.
type Finding struct {
	Answer    string  // what of the text is the answer
	Extracted bool    // that is less than all of it
	Quotes    []Quote // found in the document
	Flaws     []Flaw  // none: it will do
}

// Quote is where something that an answer quotes stands in the document.
type Quote struct {
	At     string `json:"at"`             // JSON pointer into the answer
	Offset int    `json:"offset"`         // of its first byte in the document's text
	Length int    `json:"length"`         // bytes
	Page   int    `json:"page,omitempty"` // from 1, if the document has pages
}

// The checks that can fail, as Flaw.Check.
const (
	CheckJSON   = "json" // there is no one JSON value
	CheckSchema = "schema"
	CheckQuote  = "quote"
	CheckExpect = "expect"
	CheckJudge  = "judge"
)

// Flaw is one thing that is wrong with an answer. It may repeat what answer and
// document say.
type Flaw struct {
	Check   string `json:"check"`
	At      string `json:"at,omitempty"` // JSON pointer into the answer
	Message string `json:"message"`      // for the model, and for people
	Near    string `json:"near,omitempty"`
}

// Rejection is an answer that did not do. What it cost stands with the attempt
// of the same call.
type Rejection struct {
	Call   string `json:"call"`
	Model  string `json:"model"`
	Step   string `json:"step,omitempty"`
	Answer string `json:"answer"`
	Flaws  []Flaw `json:"flaws"`
}

// DemandsDigest is the same for the same demands of answers and the same way with
// documents that are too long, and empty for none of either.
func (b *Batch) DemandsDigest() string {
	if !b.Answer.Any() && b.Overflow.Resort() == "" {
		return ""
	}
	h := sha256.New()
	_ = json.NewEncoder(h).Encode([]any{b.Answer, b.Overflow, b.Combine}) // which has nothing that cannot be encoded
	return hex.EncodeToString(h.Sum(nil))
}
