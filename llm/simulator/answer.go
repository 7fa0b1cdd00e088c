package simulator

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// tokens is the simulator's tokenizer: four bytes each, rounded up.
func tokens(text string) int64 { return int64(len(text)+3) / 4 }

// reply answers the question, as far as the fault lets it.
func (q *question) reply(f Fault, cfg *Config) reply {
	r := reply{input: q.input, silent: f == NoUsage}
	r.cached = int64(cfg.Cached * float64(q.input))
	if q.wordless {
		return r
	}
	r.calls = q.calls(f)
	switch {
	case f == Refuse:
		r.text, r.finish, r.calls = "I cannot help with that.", refusedIt, nil
	case len(r.calls) == 0 && cfg.Reply != nil && !f.inWords():
		if said := cfg.Reply(q.asked()); said != nil {
			r.text, r.calls = said.Text, said.Calls
			break
		}
		fallthrough
	case len(r.calls) == 0:
		r.text = q.words(f)
	}
	if len(r.calls) > 0 {
		r.text, r.finish = "", callsTool
	}
	if f == Length && r.finish == stopped {
		r.text, r.finish = cut(r.text, 16), cutShort
	}
	r.reasoning = int64(cfg.Reasoning)
	q.measure(&r)
	return r
}

// measure counts the answer's tokens and cuts it at its limit.
func (q *question) measure(r *reply) {
	for _, c := range r.calls {
		r.output += 8 + tokens(c.Arguments)
	}
	if q.limit > 0 {
		r.reasoning = min(r.reasoning, q.limit)
		if left := q.limit - r.reasoning; tokens(r.text) > left {
			r.text, r.finish = cut(r.text, int(4*left)), cutShort
		}
	}
	r.output += tokens(r.text) + r.reasoning
}

// calls are the tools that the answer wants called.
func (q *question) calls(f Fault) []Call {
	switch {
	case q.turns < len(q.script):
		return q.script[q.turns]
	case len(q.tools) > 0 && (f == Loop || f == CallTool && len(q.results) == 0):
		return []Call{q.use(q.tools[0])}
	}
	for _, t := range q.tools {
		if t.name == q.forced {
			return []Call{q.use(t)}
		}
	}
	return nil
}

// use calls a tool with arguments that match its schema.
func (q *question) use(t tool) Call {
	text, quote := q.summary()
	w := writer{t.schema, text, quote}
	return Call{t.name, string(w.fill(nil, t.schema, "", 0))}
}

// words is the answer as a text: a summary, or JSON where that was asked for.
func (q *question) words(f Fault) string {
	text, quote := q.summary()
	if f == Misquote {
		quote = "Nothing of the kind was ever said."
	}
	schema := q.schema
	if !schema.Exists() {
		schema = written(q.system)
	}
	if !schema.Exists() {
		schema = written(q.document)
	}
	answer := text
	switch {
	case f == Prose:
		return text
	case schema.Exists():
		w := writer{schema, text, quote}
		if f == Invalid {
			answer = string(w.spoil(nil, schema))
		} else {
			answer = string(w.fill(nil, schema, "", 0))
		}
	case f == Invalid:
		answer = "[]"
	case q.json:
		answer = string(append(gjson.AppendJSONString([]byte(`{"summary":`), text), '}'))
	}
	switch f {
	case Fenced:
		return "Here is what you asked for:\n\n```json\n" + answer + "\n```\n\nLet me know if you need anything else."
	case Broken:
		return strings.TrimRight(answer, "}]\"")
	}
	return answer
}

// summary is plausible: what the document is called and how it begins. quote
// is the beginning alone, as it stands in the document.
func (q *question) summary() (text, quote string) {
	title, first, words := outline(q.document)
	text = first
	if title != "" && title != first {
		text = strings.TrimRight(title, ".:") + ": " + first
	}
	if text == "" {
		text = "There is nothing to summarise."
	}
	return text + " (" + strconv.Itoa(words) + " words)", first
}

// outline finds a document's title, its first sentence and its length. The
// last paragraphs of a prompt are the document, its first ones the question,
// so a heading anywhere wins over the first line.
func outline(document string) (title, first string, words int) {
	for range strings.FieldsSeq(document) {
		words++
	}
	if len(document) > 64<<10 {
		document = cut(document, 64<<10)
	}
	body := document
	if heading := strings.Index(body, "\n# "); heading >= 0 && !strings.HasPrefix(body, "# ") {
		body = body[heading:]
	} else if _, after, found := strings.Cut(document, "\n\n"); found && !strings.HasPrefix(body, "# ") {
		body = after
	}
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(strings.TrimLeft(line, "#>*-– \t"))
		switch {
		case line == "", isMark(line):
		case title == "" && len(line) <= 100 && !strings.HasSuffix(line, "."):
			title = line
		default:
			return title, sentence(line), words
		}
	}
	return title, title, words
}

// isMark reports whether a line is one of the tags that prompts put around
// documents, or the number of a page.
func isMark(line string) bool {
	return strings.HasPrefix(line, "[page ") && strings.HasSuffix(line, "]") || strings.HasPrefix(line, "<") && strings.HasSuffix(line, ">") && !strings.Contains(line, " ")
}

// sentence is the first sentence of a line, of at most 200 bytes.
func sentence(line string) string {
	for i, r := range line {
		end := i + utf8.RuneLen(r)
		if strings.ContainsRune("。！？", r) || strings.ContainsRune(".!?", r) && i >= 20 && (end == len(line) || line[end] == ' ') {
			return cut(line[:end], 200)
		}
	}
	return cut(line, 200)
}

// cut shortens a text to at most n bytes, between characters and, where it
// can, between words.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	short := text[:n]
	if space := strings.LastIndexFunc(short, unicode.IsSpace); space > n/2 {
		short = short[:space]
	}
	return short
}
