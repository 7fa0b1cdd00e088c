package config_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-batch/drover/internal/config"
)

func TestSchemaTellsEditorsWhatTheLoaderWants(t *testing.T) {
	t.Parallel()
	var root any
	if err := json.Unmarshal(config.Schema(), &root); err != nil {
		t.Fatal(err)
	}
	at := func(path ...string) any {
		t.Helper()
		here := root
		for _, key := range path {
			table, ok := here.(map[string]any)
			if !ok || table[key] == nil {
				t.Fatalf("the schema has nothing at %q of %q", key, path)
			}
			here = table[key]
		}
		return here
	}
	slots := map[string]any{
		"type": "integer", "minimum": 1.0, "maximum": 100_000.0, "default": 64.0,
		"description": "jobs worked on at the same time; up to a quarter more, 16 at the most, of batches that would wait for a slot with all of theirs",
	}
	if diff := cmp.Diff(slots, at("properties", "worker", "properties", "slots")); diff != "" {
		t.Errorf("worker.slots (-want +got):\n%s", diff)
	}
	providers := []any{"openai", "openai-responses", "openai-embeddings", "anthropic", "gemini", "simulator"}
	if diff := cmp.Diff(providers, at("properties", "models", "additionalProperties", "properties", "provider", "enum")); diff != "" {
		t.Errorf("models.*.provider (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("number", at("properties", "budgets", "items", "properties", "alert_at", "items", "type")); diff != "" {
		t.Errorf("budgets[].alert_at (-want +got):\n%s", diff)
	}
	forms, _ := at("properties", "chains", "additionalProperties", "oneOf").([]any)
	if len(forms) != 2 || !strings.Contains(fmt.Sprint(forms[0]), "type:array") || !strings.Contains(fmt.Sprint(forms[1]), "[wait fallback auto]") {
		t.Errorf("chains are not lists of names or tables: %v", forms)
	}
	// What the loader refuses, editors underline.
	if at("properties", "models", "additionalProperties", "additionalProperties") != false {
		t.Error("unknown keys of a model are let through")
	}
}
