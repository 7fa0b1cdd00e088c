package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/settings.md and docs/drover.schema.json anew")

func TestReferenceNamesEverySetting(t *testing.T) {
	t.Parallel()
	const path, from, to = "../../docs/settings.md", "<!-- made by go test ./internal/config -update -->\n", "<!-- until here -->\n"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), from)
	_, after, closed := strings.Cut(rest, to)
	if !ok || !closed {
		t.Fatalf("%s has no place for the settings", path)
	}
	current(t, path, []byte(before+from+reference()+to+after))
	current(t, "../../docs/drover.schema.json", Schema())
}

// current fails unless a file of the documents says what it should.
func current(t *testing.T, path string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the settings are (%v): go test ./internal/config -update writes it anew", path, err)
	}
}

// reference is a table of settings for each part of the file.
func reference() string {
	var b strings.Builder
	for f := range inOrder(reflect.TypeFor[document]()) {
		name, t := f.Tag.Get("yaml"), f.Type
		switch t.Kind() {
		case reflect.Map:
			name, t = name+".NAME", t.Elem()
		case reflect.Slice:
			t = t.Elem()
		}
		fmt.Fprintf(&b, "\n### `%s`\n\n%s.\n", name, sentence(f.Tag.Get("help")))
		if !isScalar(t) {
			b.WriteString("\n| setting | default | |\n|---|---|---|\n")
			rows(&b, t, "")
		}
	}
	return b.String() + "\n"
}

func rows(b *strings.Builder, t reflect.Type, path string) {
	for f := range inOrder(t) {
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		at := join(path, f.Tag.Get("yaml"))
		value := f.Tag.Get("default")
		if value != "" {
			value = "`" + value + "`"
		}
		help := f.Tag.Get("help")
		if list := f.Tag.Get("enum"); list != "" {
			help += " (`" + strings.ReplaceAll(list, "|", "`, `") + "`)"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", at, value, help)
		if inner.Kind() == reflect.Struct && !isScalar(inner) {
			rows(b, inner, at)
		}
	}
}

// inOrder yields the settings of a struct as it declares them, those of inlined
// structs in their place.
func inOrder(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for f := range t.Fields() {
			switch name := f.Tag.Get("yaml"); name {
			case "", "-":
			case ",inline":
				for inner := range inOrder(f.Type) {
					if !yield(inner) {
						return
					}
				}
			default:
				if !yield(f) {
					return
				}
			}
		}
	}
}

func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
