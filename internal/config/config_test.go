package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
)

// nothing is an environment without variables.
var nothing = []string{}

// write puts the text into a file called drover.yaml.
func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "drover.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t testing.TB, s config.Source) *config.Config {
	t.Helper()
	if s.Environ == nil {
		s.Environ = nothing
	}
	c, err := config.Load(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// design is the example of the documentation, word for word.
const design = `
models:
  small:
    provider: openai            # the wire protocol: openai, anthropic, gemini, simulator
    model: gpt-4.1-mini         # what the provider calls it; default: the name above
    base_url: https://api.openai.com/v1
    api_key_env: OPENAI_API_KEY # or api_key_file
    context: 1000000            # tokens
    max_output: 4096
    timeout: 60s
    quota: openai
    price: {input: 0.40, cached_input: 0.10, output: 1.60}   # USD per million tokens
  large: {provider: anthropic, model: claude-sonnet-4-5, api_key_env: ANTHROPIC_API_KEY, context: 200000, price: {input: 3, output: 15}}
quotas:
  openai: {requests_per_minute: 5000, tokens_per_minute: 2000000, concurrent: 200}
chains:
  default: [small, large]
retry: {tries: 3, base: 1s, max: 60s}
breaker: {failures: 5, recovery: 30s, probes: 3}
budgets:
  - {tenant: acme, window: day, limit: 50.00, alert_at: [0.5, 0.8], when_spent: pause}
`

func TestTheDocumentedFileIsRead(t *testing.T) {
	t.Parallel()
	c := load(t, config.Source{Path: write(t, design)})

	want := map[string]jobs.Model{
		"small": {
			Name: "small", Provider: "openai", Upstream: "gpt-4.1-mini", BaseURL: "https://api.openai.com/v1",
			Context: 1_000_000, MaxOutput: 4096, Timeout: time.Minute, Quota: "openai",
			Price: &jobs.Price{Input: 400_000, CachedInput: 100_000, Output: 1_600_000},
		},
		"large": {
			Name: "large", Provider: "anthropic", Upstream: "claude-sonnet-4-5", BaseURL: "https://api.anthropic.com/v1",
			Context: 200_000, MaxOutput: 4096, Timeout: time.Minute, Quota: "large",
			Price: &jobs.Price{Input: 3 * jobs.Dollar, CachedInput: 3 * jobs.Dollar, Output: 15 * jobs.Dollar},
		},
	}
	if diff := cmp.Diff(want, c.Models, cmp.AllowUnexported(jobs.Secret{})); diff != "" {
		t.Errorf("models (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]config.Quota{"openai": {Requests: 5000, Tokens: 2_000_000, Concurrent: 200}}, c.Quotas); diff != "" {
		t.Errorf("quotas (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]config.Chain{"default": {Models: []string{"small", "large"}, WhenLimited: jobs.AutoWhenLimited}}, c.Chains); diff != "" {
		t.Errorf("chains (-want +got):\n%s", diff)
	}
	b := c.Budgets[0]
	if b.Name != "acme/day" || b.Limit != 50*jobs.Dollar || b.WhenSpent != jobs.PauseWhenSpent || len(b.AlertAt) != 2 || b.Zone.Location() != time.UTC {
		t.Errorf("budget = %+v", b)
	}
	if c.Simulated {
		t.Error("a file with real models counts as simulated")
	}
}

func TestDefaultsHoldWhereNothingIsSaid(t *testing.T) {
	t.Parallel()
	c := load(t, config.Source{})
	type all struct {
		config.Retry
		config.Breaker
		config.Guardrails
		config.Worker
		config.Queue
	}
	want := all{
		config.Retry{Tries: 3, Most: 10, Base: time.Second, Max: time.Minute, Ambiguous: jobs.AskAgain, Patience: 30 * time.Second},
		config.Breaker{Failures: 5, Recovery: 30 * time.Second, Probes: 3, Window: time.Minute, Volume: 20, Rate: 0.5},
		config.Guardrails{Iterations: 20, ToolCalls: 50, Duration: 300 * time.Second, Tokens: 100_000, Pieces: 50},
		config.Worker{Slots: 64, Grace: 30 * time.Second, Lease: 30 * time.Second, Data: ".drover", Spool: 1 << 30, HTTP: "127.0.0.1:8080"},
		config.Queue{
			Prefix: "drover", Replicas: 1, MaxBytes: 8 << 30, MaxLiveBatches: 2048, MaxDeliveries: 5,
			StorePatience: 2 * time.Minute, CacheFor: 7 * 24 * time.Hour,
		},
	}
	if diff := cmp.Diff(want, all{c.Retry, c.Breaker, c.Guardrails, c.Worker, c.Queue}); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

func TestWithoutAFileTheSimulatorAnswers(t *testing.T) {
	t.Parallel()
	c := load(t, config.Source{Environ: []string{"OPENAI_API_KEY=set, but nobody asked to spend money"}})
	chain, err := c.Chain("")
	if err != nil {
		t.Fatal(err)
	}
	if !c.Simulated || len(chain) != 2 || chain[0].Provider != "simulator" || chain[1].Provider != "simulator" {
		t.Errorf("the chain is %+v, simulated %v", chain, c.Simulated)
	}
	if chain[0].Context >= chain[1].Context {
		t.Errorf("a document too long for %s (%d tokens) is too long for %s (%d)", chain[0].Name, chain[0].Context, chain[1].Name, chain[1].Context)
	}
	if err := c.ReadKeys(); err != nil {
		t.Errorf("the simulator wants a key: %v", err)
	}
}

func TestLaterSourcesOverrideEarlierOnes(t *testing.T) {
	t.Parallel()
	path := write(t, design+"worker: {slots: 2, grace: 2s, lease: 2s}\n")
	c := load(t, config.Source{
		Environ: []string{
			"DROVER_CONFIG=" + path,
			"DROVER_WORKER_GRACE=3s", "DROVER_WORKER_LEASE=3s", "DROVER_WORKER_HTTP=off", "DROVER_WORKER_DATA=",
			"NATS_URL=nats://u:p@short:1", "DROVER_NATS_URL=nats://long:1", "REDIS_URL=redis://u:p@short:1",
			"DROVER_QUEUE_MAX_BYTES=512MiB", "DROVER_SERVICE_HOST=10.0.0.1",
		},
		Flags: []config.Flag{{Name: "--lease", Path: "worker.lease", Value: "4s"}},
	})
	want := config.Worker{Slots: 2, Grace: 3 * time.Second, Lease: 4 * time.Second, Data: ".drover", Spool: 1 << 30}
	if diff := cmp.Diff(want, c.Worker); diff != "" {
		t.Errorf("worker (-want +got):\n%s", diff)
	}
	if c.NATS.URL != "nats://long:1" || c.Redis.URL != "redis://u:p@short:1" {
		t.Errorf("addresses are %s and %s", c.NATS.URL, c.Redis.URL)
	}
	if c.Queue.MaxBytes != 512<<20 {
		t.Errorf("queue.max_bytes = %d, want 512 MiB", c.Queue.MaxBytes)
	}
}

func TestMoneyIsReadExactly(t *testing.T) {
	t.Parallel()
	c := load(t, config.Source{Path: write(t, `
models:
  m: {provider: simulator, price: {input: 0.000001, cached_input: "0.1", output: 123456789.654321}}
budgets: [{limit: 0.29}]
`)})
	want := jobs.Price{Input: 1, CachedInput: 100_000, Output: 123_456_789_654_321}
	if got := *c.Models["m"].Price; got != want {
		t.Errorf("price = %+v, want %+v", got, want)
	}
	if got := c.Budgets[0].Limit; got != 290_000 { // 0.29*1e6 is 289999.99… in floating point
		t.Errorf("limit = %d, want 290000", got)
	}
}

func TestAnchorsAndMergesWork(t *testing.T) {
	t.Parallel()
	c := load(t, config.Source{Path: write(t, `
x-common: &common {provider: simulator, timeout: 5s, context: 9000}
models:
  a: {<<: *common, context: 8000}
  b: *common
chains: {default: [b, a]}
`)})
	if a, b := c.Models["a"], c.Models["b"]; a.Timeout != 5*time.Second || a.Context != 8000 || b.Context != 9000 {
		t.Errorf("a = %+v, b = %+v", a, b)
	}
}

func TestPricesAreLookedUpAtHomeOnly(t *testing.T) {
	t.Parallel()
	known := jobs.Price{Input: 1, Output: 2, AsOf: "2026-01-31"}
	c := load(t, config.Source{
		Path: write(t, `
models:
  home: {provider: openai, model: gpt}
  away: {provider: openai, model: gpt, base_url: "https://resale.example/v1"}
  own: {provider: openai, model: gpt, price: {input: 5, output: 6, as_of: 2026-02-01}}
  new: {provider: openai, model: unheard-of}
chains: {default: [home, away, own, new]}
`),
		Price: func(upstream string) (jobs.Price, bool) { return known, upstream == "gpt" },
	})
	own := jobs.Price{Input: 5 * jobs.Dollar, CachedInput: 5 * jobs.Dollar, Output: 6 * jobs.Dollar, AsOf: "2026-02-01"}
	for name, want := range map[string]*jobs.Price{"home": &known, "away": nil, "own": &own, "new": nil} {
		if diff := cmp.Diff(want, c.Models[name].Price); diff != "" {
			t.Errorf("price of %s (-want +got):\n%s", name, diff)
		}
	}
}

func TestAListOfPricesComesBeforeTheBuiltInOne(t *testing.T) {
	t.Parallel()
	builtIn, listed := jobs.Price{Input: 1}, jobs.Price{Input: 2}
	s := config.Source{
		Price: func(upstream string) (jobs.Price, bool) { return builtIn, upstream == "gpt" || upstream == "old" },
		PriceFile: func(path string) (func(string) (jobs.Price, bool), error) {
			if filepath.Base(path) != "list.json" {
				return nil, errors.New("reading the list: no such file")
			}
			return func(upstream string) (jobs.Price, bool) { return listed, upstream == "gpt" || upstream == "groq/llama" }, nil
		},
		Path: write(t, `
prices: list.json
models:
  both: {provider: openai, model: gpt}
  old: {provider: openai}
  away: {provider: openai, model: gpt, base_url: "https://resale.example/v1"}
  named: {provider: openai, model: llama, base_url: "https://api.groq.com/openai/v1", priced_as: groq/llama}
chains: {default: [both, old, away, named]}
`),
	}
	c := load(t, s)
	for name, want := range map[string]*jobs.Price{"both": &listed, "old": &builtIn, "away": nil, "named": &listed} {
		if diff := cmp.Diff(want, c.Models[name].Price); diff != "" {
			t.Errorf("price of %s (-want +got):\n%s", name, diff)
		}
	}
	for file, want := range map[string]string{
		"prices: gone.json\nmodels: {a: {provider: openai}}\n":  "drover.yaml:1:1: prices: reading the list",
		"models:\n  a: {provider: openai, priced_as: nobody}\n": `drover.yaml:2:25: models.a.priced_as names "nobody", which is in no list of prices`,
	} {
		s.Path, s.Environ = write(t, file), nothing
		if _, err := config.Load(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want %q", err, want)
		}
	}
}

func TestContextsEndWhereTheListedPriceDoes(t *testing.T) {
	t.Parallel()
	s := config.Source{
		Price: func(name string) (jobs.Price, bool) {
			return jobs.Price{Input: 1, UpTo: map[string]int{"wide": 1_000_000}[name] + 9000}, true
		},
		Path: write(t, `
models:
  left: {provider: openai}
  wide: {provider: openai}
  lower: {provider: openai, context: 8000}
  priced: {provider: openai, context: 99000, price: {input: 1, output: 1}}
  away: {provider: openai, context: 99000, base_url: "https://resale.example/v1"}
chains: {default: [left]}
`),
	}
	c := load(t, s)
	for name, want := range map[string]int{"left": 9000, "wide": 1_009_000, "lower": 8000, "priced": 99000, "away": 99000} {
		if got := c.Models[name].Context; got != want {
			t.Errorf("%s: %d tokens, want %d", name, got, want)
		}
	}
	for model, want := range map[string]string{
		"context: 9001":     "drover.yaml:1:32: models.a.context (9001) is more than its listed price holds for, which is 9000 tokens",
		"max_output: 10000": "drover.yaml:1:10: models.a: the list of prices gives it a context of 9000 tokens",
	} {
		s.Path, s.Environ = write(t, "models: {a: {provider: openai, "+model+"}}\n"), nothing
		if _, err := config.Load(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want %q", err, want)
		}
	}
}

func TestAbilitiesAreSaid(t *testing.T) {
	t.Parallel()
	c := load(t, config.Source{Path: write(t, `
models:
  plain: {provider: gemini}
  able: {provider: gemini, vision: true, structured: true}
  pretended: {provider: simulator}
  poor: {provider: simulator, vision: false, structured: false}
  vectors: {provider: openai-embeddings, model: text-embedding-3-small, context: 2000}
chains: {default: [plain, able, pretended, poor]}
`)})
	for name, want := range map[string]bool{"plain": false, "able": true, "pretended": true, "poor": false} {
		if m := c.Models[name]; m.Vision != want || m.Structured != want {
			t.Errorf("%s: vision %v, structured %v", name, m.Vision, m.Structured)
		}
	}
	if m := c.Models["vectors"]; m.MaxOutput != 1 || m.BaseURL != "https://api.openai.com/v1" {
		t.Errorf("vectors: %+v", m)
	}
	if m := c.Models["plain"]; m.BaseURL != "https://generativelanguage.googleapis.com/v1beta" {
		t.Errorf("plain: %+v", m)
	}
}

func TestChainsAreFoundByName(t *testing.T) {
	t.Parallel()
	c := load(t, config.Source{Path: write(t, design)})
	models, err := c.Chain("default")
	if err != nil || len(models) != 2 || models[0].Name != "small" {
		t.Errorf("chain default = %+v, %v", models, err)
	}
	_, err = c.Chain("defaul")
	if err == nil || !strings.Contains(err.Error(), `did you mean "default"?`) {
		t.Errorf("error = %v, want a suggestion", err)
	}
}

func TestChainIsAListOrATable(t *testing.T) {
	t.Parallel()
	c := load(t, config.Source{Path: write(t, `
models: {a: {provider: simulator}, b: {provider: simulator}}
chains:
  default: [a, b]
  patient: {models: [b, a], when_limited: wait}
  usual: {models: [b]}
`)})
	want := map[string]config.Chain{
		"default": {Models: []string{"a", "b"}, WhenLimited: jobs.AutoWhenLimited},
		"patient": {Models: []string{"b", "a"}, WhenLimited: jobs.WaitWhenLimited},
		"usual":   {Models: []string{"b"}, WhenLimited: jobs.AutoWhenLimited},
	}
	if diff := cmp.Diff(want, c.Chains); diff != "" {
		t.Errorf("chains (-want +got):\n%s", diff)
	}
}
