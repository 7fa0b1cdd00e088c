package jobs

import (
	"errors"
	"fmt"
	"time"
)

// Guardrails bound one conversation with tools, which could otherwise go on for
// ever, and the pieces of a document. They do not apply to a plain question: a
// document of 200,000 tokens is no runaway, and its calls are bounded by the
// model's timeout and the tries. A field that is 0 is left to whoever has the
// next word: the chain, the configuration, the default.
type Guardrails struct {
	Iterations int           `json:"iterations,omitempty"` // answers of models
	ToolCalls  int           `json:"tool_calls,omitempty"` // runs of tools
	Duration   time.Duration `json:"duration,omitempty"`   // worked on, from the first question on
	Tokens     int64         `json:"tokens,omitempty"`     // sent and answered by all calls together
	Pieces     int           `json:"pieces,omitempty"`     // that one document may be cut into
}

// LongestConversation bounds Guardrails.Duration.
const LongestConversation = 24 * time.Hour

// Validate reports what is wrong with them.
func (g Guardrails) Validate() error {
	if g.Iterations < 0 || g.ToolCalls < 0 || g.Duration < 0 || g.Tokens < 0 || g.Pieces < 0 {
		return errors.New("guardrails cannot be negative")
	}
	if g.Duration > 0 && g.Duration < time.Second || g.Duration > LongestConversation {
		return fmt.Errorf("a conversation may take 1s to %v, not %v", LongestConversation, g.Duration)
	}
	return nil
}

// Or fills in what is 0 from others.
func (g Guardrails) Or(others Guardrails) Guardrails {
	if g.Iterations == 0 {
		g.Iterations = others.Iterations
	}
	if g.ToolCalls == 0 {
		g.ToolCalls = others.ToolCalls
	}
	if g.Duration == 0 {
		g.Duration = others.Duration
	}
	if g.Tokens == 0 {
		g.Tokens = others.Tokens
	}
	if g.Pieces == 0 {
		g.Pieces = others.Pieces
	}
	return g
}
