package llm

import "github.com/tidwall/gjson"

// appendString appends a JSON string. Almost all of a document is text that
// stands in one as it is, which is copied, lines and quotation marks; the rest
// is left to gjson.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for s != "" {
		n := 0
		for n < len(s) && asIs[s[n]] {
			n++
		}
		b, s = append(b, s[:n]...), s[n:]
		if s == "" {
			break
		}
		n = 1
		switch s[0] {
		case '"', '\\':
			b = append(b, '\\', s[0])
		case '\n':
			b = append(b, '\\', 'n')
		default:
			for n < len(s) && !asIs[s[n]] {
				n++
			}
			b = appendEscaped(b, s[:n])
		}
		s = s[n:]
	}
	return append(b, '"')
}

// appendEscaped appends what stands between the quotation marks.
func appendEscaped(b []byte, s string) []byte {
	at := len(b)
	b = gjson.AppendJSONString(b, s)
	return append(b[:at], b[at+1:len(b)-1]...)
}

// asIs are the bytes that are the same in a JSON string.
var asIs = func() (is [256]bool) {
	for c := byte(' '); c < 0x7f; c++ {
		is[c] = true
	}
	for _, c := range []byte{'"', '\\', '<', '>', '&'} { // the last three as gjson has them
		is[c] = false
	}
	return is
}()
