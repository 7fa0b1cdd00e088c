package jobs

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// Instead is what a replayed job is asked with in place of what its batch says.
type Instead struct {
	Chain  string  `json:"chain,omitempty"`  // empty for the batch's
	Prompt *string `json:"prompt,omitempty"` // nil for the batch's
	System *string `json:"system,omitempty"` // nil for the batch's
}

// Or is what i says and, where it says nothing, what the earlier one does. It is
// nil if all of that is what the batch says anyway. Both may be nil.
func (i *Instead) Or(earlier *Instead, b *Batch) *Instead {
	all := Instead{}
	for _, from := range []*Instead{earlier, i} {
		if from != nil {
			all = Instead{cmp.Or(from.Chain, all.Chain), cmp.Or(from.Prompt, all.Prompt), cmp.Or(from.System, all.System)}
		}
	}
	if all.Chain == b.Chain {
		all.Chain = ""
	}
	if all.Prompt != nil && *all.Prompt == b.Prompt {
		all.Prompt = nil
	}
	if all.System != nil && *all.System == b.System {
		all.System = nil
	}
	if all == (Instead{}) {
		return nil
	}
	return &all
}

// Rewords reports whether it is another prompt or system prompt. It may be nil.
func (i *Instead) Rewords() bool { return i != nil && (i.Prompt != nil || i.System != nil) }

// Reroutes reports whether it is another chain. It may be nil.
func (i *Instead) Reroutes() bool { return i != nil && i.Chain != "" }

func (i *Instead) validate() error {
	if i != nil && len(i.Chain) > mostName {
		return fmt.Errorf("the name of a chain has %d bytes at the most", mostName)
	}
	return nil
}

// Asking is the batch as a job of it is asked about: by another chain or with
// another prompt, if it was replayed so.
func (b Batch) Asking(j *Job) *Batch {
	i := j.Instead
	b.Instead = i
	if i.Reroutes() {
		b.Chain = i.Chain
	}
	if i != nil && i.Prompt != nil {
		b.Prompt = *i.Prompt
	}
	if i != nil && i.System != nil {
		b.System = *i.System
	}
	return &b
}

// AllChains are those that jobs of the batch may be asked about by: its own, and
// those that dead letters of it were replayed with.
func (b *Batch) AllChains() []string { return append([]string{b.Chain}, b.Chains...) }

// Knows reports whether it is among AllChains.
func (b *Batch) Knows(chain string) bool { return slices.Contains(b.AllChains(), chain) }

// Digest tells prompts apart without showing them: the beginning of what
// sha256sum says of one's text.
func Digest(prompt string) string {
	sum := sha256.Sum256([]byte(prompt))
	return "sha256:" + hex.EncodeToString(sum[:8])
}

// note says with what a run was asked in place of what the batch says.
func (o *Outcome) note(i *Instead) {
	if i == nil {
		return
	}
	o.Chain = i.Chain
	if i.Prompt != nil {
		o.Prompt = Digest(*i.Prompt)
	}
	if i.System != nil {
		o.System = Digest(*i.System)
	}
}

// AskedLike reports whether the run was asked by the same chain and with the same
// prompts as one with i, which may be nil, would be.
func (o *Outcome) AskedLike(i *Instead) bool {
	var like Outcome
	like.note(i)
	return o.Chain == like.Chain && o.Prompt == like.Prompt && o.System == like.System
}
