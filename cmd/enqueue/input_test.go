package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A prompt that a Windows shell had written, in UTF-16, was sent as it stood in
// its file, and a schema with a byte order mark refused.
func TestTextsInFilesAreReadInTheirEncoding(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "text")
	for content, want := range map[string]string{
		"Was läuft?":                        "Was läuft?",
		"\xef\xbb\xbf{\"type\":\"object\"}": `{"type":"object"}`,
		"\xff\xfeW\x00a\x00s\x00?\x00":      "Was?",
		"Was l\xe4uft?":                     "Was läuft?",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := textOrFile("--prompt", "@"+file); got != want || err != nil {
			t.Errorf("%q is read as the prompt %q: %v", content, got, err)
		}
		if got, err := (&demands{schema: file}).readSchema(); string(got) != want || err != nil {
			t.Errorf("%q is read as the schema %q: %v", content, got, err)
		}
	}
	if err := os.WriteFile(file, []byte("\x89PNG\r\n\x1a\n\x00\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := textOrFile("--prompt", "@"+file); err == nil || !strings.Contains(err.Error(), "--prompt: "+file+" is binary data, not text") {
		t.Errorf("a picture is a prompt: %v", err)
	}
}
