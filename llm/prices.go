package llm

import (
	"strings"

	"github.com/drover-batch/drover/jobs"
)

// asOf is the day the built-in prices were compiled, from published lists and
// copies of them. They are a convenience: a price in the configuration wins.
const asOf = "2026-11-28"

// Listed is a model in a list of prices, in US dollars per million tokens. A
// rate of 0 is one that the list does not have, but for the output of models
// that answer with vectors, and what is free.
type Listed struct {
	Input       jobs.USD
	CachedInput jobs.USD // what the provider had cached
	CacheWrite  jobs.USD // what it puts into its cache
	Output      jobs.USD
	BatchInput  jobs.USD // in the provider's own batches, which Drover does not use
	BatchOutput jobs.USD

	// Context is the most tokens the rates hold for: where a provider charges
	// more for long inputs, it ends where the price does.
	Context   int
	MaxOutput int // most tokens of an answer; 0 for vectors, or if nobody knows

	AsOf string // the day it was looked up, as 2006-01-02
}

// Price is what a call costs.
func (l Listed) Price() jobs.Price {
	return jobs.Price{
		Input: l.Input, CachedInput: l.CachedInput, CacheWrite: l.CacheWrite, Output: l.Output, UpTo: l.Context, AsOf: l.AsOf,
	}
}

// known is one row of the built-in table. All of them are half as dear in the
// provider's own batches.
type known struct {
	name                         string
	input, cached, write, output float64 // USD per million tokens
	context, maxOutput           int
}

// table holds list prices. One that is too low would break a budget, so a model
// in doubt is left out and drover.yaml has to name its price. Where a provider
// charges more for long inputs, the context ends where the price does.
var table = []known{
	{"gpt-4.1", 2, 0.50, 0, 8, 1_047_576, 32_768},
	{"gpt-4.1-mini", 0.40, 0.10, 0, 1.60, 1_047_576, 32_768},
	{"gpt-4.1-nano", 0.10, 0.025, 0, 0.40, 1_047_576, 32_768},
	{"gpt-4o", 2.50, 1.25, 0, 10, 128_000, 16_384},
	{"gpt-4o-mini", 0.15, 0.075, 0, 0.60, 128_000, 16_384},
	{"gpt-5", 1.25, 0.125, 0, 10, 400_000, 128_000},
	{"gpt-5-mini", 0.25, 0.025, 0, 2, 400_000, 128_000},
	{"gpt-5-nano", 0.05, 0.005, 0, 0.40, 400_000, 128_000},
	{"gpt-6-luna", 0.10, 0.01, 0.125, 0.50, 272_000, 128_000},
	{"gpt-6-sol", 2, 0.20, 2.50, 10, 272_000, 128_000},
	{"gpt-6.1-terra", 1, 0.05, 1.25, 5, 272_000, 128_000},
	{"gpt-6.1-sol", 2, 0.10, 2.50, 10, 272_000, 128_000},
	{"gpt-6.2-sol", 2, 0.10, 2.50, 10, 272_000, 128_000},
	{"text-embedding-3-small", 0.02, 0.02, 0, 0, 8_191, 0},
	{"text-embedding-3-large", 0.13, 0.13, 0, 0, 8_191, 0},

	{"claude-opus-4-5", 5, 0.50, 6.25, 25, 200_000, 64_000},
	{"claude-sonnet-4-5", 3, 0.30, 3.75, 15, 200_000, 64_000},
	{"claude-haiku-4-5", 1, 0.10, 1.25, 5, 200_000, 64_000},
	{"claude-opus-4-6", 5, 0.50, 6.25, 25, 200_000, 128_000},
	{"claude-sonnet-4-6", 3, 0.30, 3.75, 15, 200_000, 64_000},
	{"claude-opus-4-7", 5, 0.50, 6.25, 25, 1_000_000, 128_000},
	{"claude-opus-4-8", 5, 0.50, 6.25, 25, 1_000_000, 128_000},
	{"claude-opus-5", 5, 0.50, 6.25, 25, 1_000_000, 128_000},
	{"claude-sonnet-5", 2, 0.20, 2.50, 10, 1_000_000, 128_000},
	{"claude-opus-5-5", 4, 0.20, 5, 20, 1_000_000, 128_000},
	{"claude-sonnet-5-5", 2, 0.10, 2.50, 10, 1_000_000, 128_000},
	{"claude-haiku-5-5", 0.10, 0.01, 0.125, 0.50, 100_000, 128_000},
	{"claude-fable-5-1", 10, 0.25, 12.50, 50, 1_000_000, 128_000},

	{"gemini-2.5-pro", 1.25, 0.125, 0, 10, 200_000, 65_536},
	{"gemini-2.5-flash", 0.30, 0.03, 0, 2.50, 1_048_576, 65_536},
	{"gemini-2.5-flash-lite", 0.10, 0.01, 0, 0.40, 1_048_576, 65_536},
	{"gemini-3.1-pro-preview", 2, 0.20, 0, 12, 200_000, 65_536},
	{"gemini-3.5-flash", 1.50, 0.15, 0, 9, 1_048_576, 65_536},
	{"gemini-3.5-flash-lite", 0.30, 0.03, 0, 2.50, 1_048_576, 65_536},
}

// BuiltIn is the list that comes with this package.
func BuiltIn() *PriceList {
	list := &PriceList{Source: "built in", AsOf: asOf, Models: make(map[string]Listed, len(table))}
	for _, k := range table {
		list.Models[k.name] = k.listed()
	}
	return list
}

func (k known) listed() Listed {
	return Listed{
		Input: jobs.Dollars(k.input), CachedInput: jobs.Dollars(k.cached), CacheWrite: jobs.Dollars(k.write), Output: jobs.Dollars(k.output),
		BatchInput: jobs.Dollars(k.input / 2), BatchOutput: jobs.Dollars(k.output / 2),
		Context: k.context, MaxOutput: k.maxOutput, AsOf: asOf,
	}
}

// Lookup is the built-in price of the model that a provider calls upstream;
// false if nobody knows it. Dated names and names behind a vendor's prefix
// ("gpt-4.1-2025-04-14", "openai/gpt-4.1") are the same model. A fine-tuned
// model is another.
func Lookup(upstream string) (jobs.Price, bool) {
	k, ok := find(upstream)
	if !ok {
		return jobs.Price{}, false
	}
	return k.listed().Price(), true
}

func find(upstream string) (known, bool) {
	name := bare(upstream)
	for _, k := range table {
		if date, ok := strings.CutPrefix(name, k.name); ok && isDate(date) {
			return k, true
		}
	}
	return known{}, false
}

// bare is a model's name without its vendor's prefix.
func bare(upstream string) string {
	return upstream[strings.LastIndexByte(upstream, '/')+1:]
}

// isDate reports whether a suffix is empty or names a version by date, as in
// -20250929, -2025-04-14 or -latest.
func isDate(suffix string) bool {
	if suffix == "" || suffix == "-latest" {
		return true
	}
	digits := strings.ReplaceAll(suffix, "-", "")
	return suffix[0] == '-' && len(digits) == 8 && strings.Trim(digits, "0123456789") == ""
}
