package resilience

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/drover-batch/drover/jobs"
)

// usualGuardrails are those of whoever sets none.
var usualGuardrails = jobs.Guardrails{Iterations: 20, ToolCalls: 50, Duration: 300 * time.Second, Tokens: 100_000, Pieces: 50}

// sameCalls is how often a tool may be run with the same arguments. A second
// time can be meant; a third is a loop.
const sameCalls = 2

// meter holds one conversation against its guardrails. A nil meter lets
// everything pass.
type meter struct {
	limit   jobs.Guardrails
	started time.Time // had it been worked on without a break
	turns   int       // answers that led to tools being run
	tools   int
	tokens  int64
	seen    map[string]int // runs of a tool with the same arguments, by their hash
}

// meterState is a meter as a checkpoint holds it. The time between two
// deliveries is nobody's work and not counted.
type meterState struct {
	Turns  int            `json:"turns"`
	Tools  int            `json:"tools"`
	Tokens int64          `json:"tokens"`
	Worked time.Duration  `json:"worked"`
	Seen   map[string]int `json:"seen,omitempty"`
}

func newMeter(g jobs.Guardrails, from *meterState) *meter {
	m := &meter{limit: g, started: time.Now(), seen: make(map[string]int)}
	if from != nil {
		m.started = m.started.Add(-from.Worked)
		m.turns, m.tools, m.tokens = from.Turns, from.Tools, from.Tokens
		maps.Copy(m.seen, from.Seen)
	}
	return m
}

func (m *meter) state() *meterState {
	return &meterState{m.turns, m.tools, m.tokens, time.Since(m.started), m.seen}
}

// step names the call that comes next.
func (m *meter) step() string {
	if m == nil {
		return ""
	}
	return fmt.Sprintf("turn %d", m.turns+1)
}

// underway reports whether a conversation would be lost by stopping now.
func (m *meter) underway() bool { return m != nil && m.turns > 0 }

func (m *meter) deadline() time.Time { return m.started.Add(m.limit.Duration) }

// spend counts what a call used.
func (m *meter) spend(u jobs.Usage) {
	if m != nil {
		m.tokens += u.Total()
	}
}

// ask is checked before a model is asked with so many tokens, in and out at
// the most. The first question may be as long as it likes.
func (m *meter) ask(tokens int64) *jobs.Failure {
	switch {
	case !m.underway():
		return nil
	case m.turns >= m.limit.Iterations:
		return jobs.Failf(jobs.Runaway, "the conversation went on after %s, the most allowed", jobs.Counted(m.limit.Iterations, "answer"))
	case time.Since(m.started) >= m.limit.Duration:
		return m.overlong()
	case m.tokens+tokens > m.limit.Tokens:
		return jobs.Failf(jobs.Runaway, "the conversation used %s tokens and its next step could use %s more, of %s allowed",
			jobs.Grouped(m.tokens), jobs.Grouped(tokens), jobs.Grouped(m.limit.Tokens))
	}
	return nil
}

// run is checked before the tools that an answer asks for are run.
func (m *meter) run(calls []jobs.ToolCall) *jobs.Failure {
	m.turns++
	m.tools += len(calls)
	if time.Since(m.started) >= m.limit.Duration {
		return m.overlong()
	}
	if m.tools > m.limit.ToolCalls {
		return jobs.Failf(jobs.Runaway, "the conversation asked for %d tool calls, of %d allowed", m.tools, m.limit.ToolCalls)
	}
	for _, c := range calls {
		sum := sha256.Sum256([]byte(c.Name + "\x00" + canonical(c.Arguments)))
		key := hex.EncodeToString(sum[:12])
		if m.seen[key]++; m.seen[key] > sameCalls {
			return jobs.Failf(jobs.Runaway, "the tool %q was called with the same arguments %d times", c.Name, m.seen[key])
		}
	}
	return nil
}

func (m *meter) overlong() *jobs.Failure {
	return jobs.Failf(jobs.Runaway, "the conversation took longer than the %v allowed", m.limit.Duration)
}

// canonical makes arguments that differ only in spacing or order the same.
func canonical(arguments string) string {
	d := json.NewDecoder(strings.NewReader(arguments))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil || d.More() {
		return arguments
	}
	out, err := json.Marshal(v)
	if err != nil {
		return arguments
	}
	return string(out)
}

// What is kept of a conversation that was stopped: enough to see what went
// wrong, and far below the size of a message.
const (
	keptFirst = 4
	keptLast  = 20
	keptText  = 2000
)

// shortened is the beginning and the end of a conversation, with long texts
// cut, and without what only its model could read.
func shortened(all []jobs.Message) []jobs.Message {
	kept := make([]jobs.Message, 0, keptFirst+1+keptLast)
	for i, m := range all {
		switch left := len(all) - keptFirst - keptLast; {
		case left > 0 && i == keptFirst:
			kept = append(kept, jobs.Message{Role: m.Role, Text: fmt.Sprintf("[%d messages left out]", left)})
			continue
		case i > keptFirst && i < keptFirst+left:
			continue
		}
		m.Text, m.Thoughts = cut(m.Text), nil
		m.Calls = append([]jobs.ToolCall(nil), m.Calls[:min(len(m.Calls), keptLast)]...)
		for c := range m.Calls {
			m.Calls[c].Arguments = cut(m.Calls[c].Arguments)
		}
		kept = append(kept, m)
	}
	return kept
}

func cut(s string) string { return clipped(s, keptText) }

// clipped is a text of about the given number of bytes at the most, and says
// what is missing.
func clipped(s string, most int) string {
	if len(s) <= most {
		return s
	}
	end := most
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return fmt.Sprintf("%s [%s bytes left out]", s[:end], jobs.Grouped(int64(len(s)-end)))
}
