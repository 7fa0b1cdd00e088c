package answers

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestExtraction(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, value, flaw string }{
		{"whole", ` {"a": 1} `, `{"a": 1}`, ""},
		{"a string is JSON too", `"yes"`, `"yes"`, ""},
		{"fenced", "Here you are:\n```json\n{\"a\": 1}\n```\nAnything else?", `{"a": 1}`, ""},
		{"fenced scalar", "```\n42\n```", "42", ""},
		{"fenced in one line", "```{\"a\":1}```", `{"a":1}`, ""},
		{"fenced, and brackets around", "As [1] says:\n```json\n[2, 3]\n```", "[2, 3]", ""},
		{"prose before", `Sure! {"a": {"b": [1]}}`, `{"a": {"b": [1]}}`, ""},
		{"prose after", `{"a": 1} I hope this helps {smiling}.`, `{"a": 1}`, ""},
		{"a citation is not the answer", `As in [2]: {"a": 1}`, `{"a": 1}`, ""},
		{"an array among words", `The numbers are [1, 2].`, `[1, 2]`, ""},
		{"thoughts", "<think>Is it {\"a\": 2}? No.</think>\n{\"a\": 1}", `{"a": 1}`, ""},
		{"thoughts whose beginning the server kept", "Is it {\"a\": 2}? No.\n</think>\n\n{\"a\": 1}", `{"a": 1}`, ""},
		{"thoughts, and no answer", "Is it {\"a\": 2}?\n</think>\nI do not know.", "", "it is not JSON"},
		{"an answer about thoughts", `So: {"a": "</think>"}`, `{"a": "</think>"}`, ""},
		{"two objects", `{"a": 1} or {"a": 2}`, "", "there are 2 JSON values"},
		{"two fences", "```\n1\n```\n```\n2\n```", "", "there are 2 JSON values in code fences"},
		{"words", "I could not find\nany.", "", "it is not JSON: line 1, column 1"},
		{"nothing", "", "", "it ends too early"},
		{"cut off", `{"a": [1, 2], "b": `, "", "its JSON is broken"},
		{"a part of a broken value is no answer", `{"a": [{"b": 1}], }`, "", "its JSON is broken: line 1, column 19"},
		{"nor of a broken list", `Well: [{"b": 1}, {"b": 2} and so on`, "", "its JSON is broken"},
		{"single quotes are not mended", `{'a': 1}`, "", "it is not JSON"},
		{"many openings", strings.Repeat("[x", 100_000), "", "it is not JSON"},
	} {
		value, _, flaw := extract(test.text)
		if value != test.value || (flaw == "") != (test.flaw == "") || !strings.Contains(flaw, test.flaw) {
			t.Errorf("%s: got %q and %q, want %q and %q", test.name, value, flaw, test.value, test.flaw)
		}
	}
}

func TestOnlyWholeAnswersAreValidAtOnce(t *testing.T) {
	t.Parallel()
	if _, whole, _ := extract("\ufeff{\"a\":1}\n"); !whole {
		t.Error("white space around it makes an answer less than whole")
	}
	if _, whole, _ := extract("So: {\"a\":1}"); whole {
		t.Error("words around it do not")
	}
}

// FuzzExtraction: whatever is taken for the answer is valid JSON that stands in
// the text.
func FuzzExtraction(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, "```json\n[1]\n```", `x {"a":[{}]} y`, `{"a": [1}`, "<think>{}</think>[]", "[[[[", `["\u00`, "```{}``````1```"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		value, whole, flaw := extract(text)
		switch {
		case flaw != "" && value != "":
			t.Fatalf("both an answer %q and a flaw %q", value, flaw)
		case flaw == "" && !json.Valid([]byte(value)):
			t.Fatalf("%q is not JSON", value)
		case !strings.Contains(text, value):
			t.Fatalf("%q is not in the answer", value)
		case whole && strings.Trim(text, "\ufeff \t\r\n") != value:
			t.Fatalf("%q is not the whole answer", value)
		}
	})
}
