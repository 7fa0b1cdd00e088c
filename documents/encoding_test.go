package documents

import (
	"strings"
	"testing"
)

func TestEncodingsBecomeUTF8(t *testing.T) {
	const want = "Prüfung für 5 €, naïve"
	for name, in := range map[string]string{
		"utf-8":           want,
		"utf-8 with mark": "\xef\xbb\xbf" + want,
		"windows-1252":    "Pr\xfcfung f\xfcr 5 \x80, na\xefve",
		"utf-16 le":       "\xff\xfe" + inUTF16(want, true),
		"utf-16 be":       "\xfe\xff" + inUTF16(want, false),
		"utf-16 no mark":  inUTF16(want, true),
	} {
		got, err := Decode([]byte(in))
		if err != nil || string(got) != want && name != "utf-16 no mark" || !strings.HasPrefix(string(got), "Prüfung") {
			t.Errorf("%s: %q %v", name, got, err)
		}
		dir := folder(t, map[string]string{"a.csv": in + ",x\n1,2\n"})
		if !strings.HasPrefix(name, "utf-16") {
			items, problems := readAll(t, Config{Format: "text"}, dir, dir)
			if len(items) != 1 || !strings.HasPrefix(string(items[0].Document.Body), want) {
				t.Error(name, items, problems)
			}
		}
	}
	if got, _ := Decode([]byte("Größe, Maße, Füße, früh, Übung, Käse, cut \xc3")); !strings.HasPrefix(string(got), "Größe") {
		t.Errorf("one broken byte cost the others: %q", got)
	}
}

func inUTF16(s string, little bool) string {
	var b strings.Builder
	for _, r := range s {
		if little {
			b.WriteString(string([]byte{byte(r), byte(r >> 8)}))
		} else {
			b.WriteString(string([]byte{byte(r >> 8), byte(r)}))
		}
	}
	return b.String()
}
