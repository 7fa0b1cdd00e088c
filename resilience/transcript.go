package resilience

import (
	"fmt"
	"unicode/utf8"

	"github.com/drover-batch/drover/jobs"
)

// What is kept of a conversation that was stopped: enough to see what went
// wrong, and far below the size of a message.
const (
	keptFirst = 4
	keptLast  = 20
	keptText  = 2000
)

// shortened is the beginning and the end of a conversation, with long texts
// cut.
func shortened(all []jobs.Message) []jobs.Message {
	kept := make([]jobs.Message, 0, keptFirst+1+keptLast)
	for i, m := range all {
		switch left := len(all) - keptFirst - keptLast; {
		case left > 0 && i == keptFirst:
			kept = append(kept, jobs.Message{Role: m.Role, Text: fmt.Sprintf("[%d messages left out]", left)})
			continue
		case left > 0 && i > keptFirst && i < keptFirst+left:
			continue
		}
		m.Text = cut(m.Text)
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
	return fmt.Sprintf("%s [%s bytes left out]", s[:end], grouped(int64(len(s)-end)))
}

// grouped prints a number as people read it: 123,456.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
