package llm

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-batch/drover/jobs"
)

func imported(t testing.TB) (*PriceList, []LeftOut) {
	t.Helper()
	f, err := os.Open("testdata/litellm.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	list, left, err := ImportLiteLLM(f, "2026-11-20")
	if err != nil {
		t.Fatal(err)
	}
	return list, left
}

func TestPublicPricesAreTakenOver(t *testing.T) {
	t.Parallel()
	list, left := imported(t)
	usd := jobs.Dollars
	day := "2026-11-20"
	want := map[string]Listed{
		"gpt-4.1":                  {Input: usd(2), CachedInput: usd(0.5), Output: usd(8), BatchInput: usd(1), BatchOutput: usd(4), Context: 1047576, MaxOutput: 32768, AsOf: day},
		"gemini-2.5-pro":           {Input: usd(1.25), CachedInput: usd(0.125), Output: usd(10), Context: 200_000, MaxOutput: 65535, AsOf: day},
		"vertex_ai/gemini-2.5-pro": {Input: usd(9), CachedInput: usd(9), Output: usd(10), AsOf: day},
		"claude-sonnet-4-5":        {Input: usd(3), CachedInput: usd(0.3), CacheWrite: usd(3.75), Output: usd(15), Context: 200_000, MaxOutput: 64000, AsOf: day},
		"text-embedding-3-small":   {Input: usd(0.02), CachedInput: usd(0.02), BatchInput: usd(0.01), Context: 8191, AsOf: day},
		"groq/qwen/qwen3-32b":      {Input: usd(0.29), CachedInput: usd(0.29), Output: usd(0.7), Context: 131000, AsOf: day},
	}
	if d := cmp.Diff(want, list.Models); d != "" {
		t.Error(d)
	}
	var bad, others []string
	for _, l := range left {
		if l.Reason == "" {
			t.Errorf("%s is left out for no reason", l.Name)
		}
		if l.Bad {
			bad = append(bad, l.Name)
		} else {
			others = append(others, l.Name)
		}
	}
	if d := cmp.Diff([]string{"a list", "absurd", "half", "negative", "weird"}, bad); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"dall-e-3", "no mode"}, others); d != "" {
		t.Error(d)
	}
}

func TestListsOfPricesSurviveTheirFile(t *testing.T) {
	t.Parallel()
	for _, list := range []*PriceList{BuiltIn(), func() *PriceList { l, _ := imported(t); return l }()} {
		path := filepath.Join(t.TempDir(), "prices.json")
		var b bytes.Buffer
		if err := list.Write(&b); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := OpenPrices(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(list, got); d != "" {
			t.Error(d)
		}
	}
}

func TestModelsAreFoundInAList(t *testing.T) {
	t.Parallel()
	list, _ := imported(t)
	for upstream, want := range map[string]bool{
		"gpt-4.1": true, "gpt-4.1-2025-04-14": true, "claude-sonnet-4-5-20250929": true, "gemini-2.5-pro-latest": true,
		"gpt-4.1-mini": false, "openai/gpt-4.1": false, "-latest": false, "": false, "groq/qwen/qwen3-32b": true,
	} {
		if p, ok := list.Lookup(upstream); ok != want || ok != (p.Input > 0) {
			t.Errorf("%s: %+v, %v", upstream, p, ok)
		}
	}
	own, ok := list.Lookup("claude-sonnet-4-5")
	builtIn, _ := Lookup("claude-sonnet-4-5")
	builtIn.AsOf = own.AsOf
	if !ok || own != builtIn {
		t.Errorf("%+v in the list, %+v built in", own, builtIn)
	}
}

func TestBrokenListsAreNamed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{`: "enqueue prices import", `{"models":{},"as_of":"2026-11-20","extra":1}`: "extra", `{"models":{"m":{"input":1,"output":1}}}`: "as_of",
		`{"as_of":"2026-11-20","models":{"m":{"input":-1,"output":1}}}`: `"m"`, `{"as_of":"2026-11-20","models":{"m":{"input":1,"output":99999}}}`: "10000",
	} {
		path := filepath.Join(t.TempDir(), "prices.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := PriceFile(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := PriceFile("no/such/file.json"); err == nil {
		t.Error("a file that is not there is read")
	}
	for _, text := range []string{`[]`, `{}`, `{"a":{"mode":"chat"}}`, `hello`} {
		if _, _, err := ImportLiteLLM(strings.NewReader(text), "2026-11-20"); err == nil || !strings.Contains(err.Error(), "LiteLLM") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzImportLiteLLM(f *testing.F) {
	whole, err := os.ReadFile("testdata/litellm.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(whole))
	f.Add(`{"m":{"mode":"chat","input_cost_per_token":1e-6,"output_cost_per_token":1e-6,"max_tokens":1e99,"input_cost_per_token_above_0k_tokens":1}}`)
	f.Fuzz(func(t *testing.T, text string) {
		list, _, err := ImportLiteLLM(strings.NewReader(text), "2026-11-20")
		if err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "prices.json")
		var b bytes.Buffer
		if err := list.Write(&b); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := OpenPrices(path)
		if err != nil || len(got.Models) != len(list.Models) {
			t.Fatalf("%v: %d of %d models", err, len(got.Models), len(list.Models))
		}
	})
}
