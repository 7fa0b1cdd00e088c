package llm

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"

	"github.com/drover-batch/drover/jobs"
)

// suited gives the calls of a conversation that another provider's model made ids
// that this one takes, and their results the same.
func suited(messages []jobs.Message, fits func(id string) bool) []jobs.Message {
	whole := messages
	for i := range messages {
		m := &messages[i]
		if (m.Reply == "" || fits(m.Reply)) && !slices.ContainsFunc(m.Calls, func(c jobs.ToolCall) bool { return !fits(c.ID) }) {
			continue
		}
		if &whole[0] == &messages[0] {
			whole = slices.Clone(messages)
		}
		m = &whole[i]
		if m.Reply != "" {
			m.Reply = fitting(m.Reply, fits)
		}
		m.Calls = slices.Clone(m.Calls)
		for j := range m.Calls {
			m.Calls[j].ID = fitting(m.Calls[j].ID, fits)
		}
	}
	return whole
}

// fitting is always the same for an id, and short and plain enough for everybody.
func fitting(id string, fits func(id string) bool) string {
	if fits(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])[:9]
}

var (
	plainID   = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`).MatchString // Anthropic's
	mistralID = regexp.MustCompile(`^[a-zA-Z0-9]{9}$`).MatchString // and no other length
	shortID   = func(id string) bool { return len(id) <= 40 }      // of OpenAI's chat completions
	openID    = func(id string) bool { return len(id) <= 64 }      // of its responses
)

const mistralHost = "api.mistral.ai"
