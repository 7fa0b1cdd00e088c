package llm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// PriceList is a list of prices by what the provider calls the model.
type PriceList struct {
	Source string // where it came from
	AsOf   string // the day it was looked up, as 2006-01-02
	Models map[string]Listed
}

// priceFile is a list as it is kept in a file: in dollars per million tokens.
type priceFile struct {
	Source string              `json:"source"`
	AsOf   string              `json:"as_of"`
	Models map[string]priceRow `json:"models"`
}

type priceRow struct {
	Input       float64 `json:"input"`
	CachedInput float64 `json:"cached_input,omitempty"`
	CacheWrite  float64 `json:"cache_write,omitempty"`
	Output      float64 `json:"output"`
	BatchInput  float64 `json:"batch_input,omitempty"`
	BatchOutput float64 `json:"batch_output,omitempty"`
	Context     int     `json:"context,omitempty"`
	MaxOutput   int     `json:"max_output,omitempty"`
}

// dearest bounds a believable rate, in dollars per million tokens.
const dearest = 10_000

// OpenPrices reads a list that Write has written. An error names the file and
// the first entry that makes no sense.
func OpenPrices(path string) (*PriceList, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the list of prices: %w", err)
	}
	var file priceFile
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		return nil, fmt.Errorf("reading the list of prices %s: %w; make it with enqueue prices import", path, err)
	}
	if _, err := time.Parse(time.DateOnly, file.AsOf); err != nil {
		return nil, fmt.Errorf("reading the list of prices %s: as_of must be a day such as 2026-01-31", path)
	}
	list := &PriceList{Source: file.Source, AsOf: file.AsOf, Models: make(map[string]Listed, len(file.Models))}
	for name, row := range file.Models {
		l, ok := row.listed(file.AsOf)
		if !ok {
			return nil, fmt.Errorf("reading the list of prices %s: the rates of %q must be between 0 and %d dollars per million tokens", path, name, dearest)
		}
		list.Models[name] = l
	}
	return list, nil
}

func (r priceRow) listed(asOf string) (Listed, bool) {
	for _, rate := range []float64{r.Input, r.CachedInput, r.CacheWrite, r.Output, r.BatchInput, r.BatchOutput} {
		if !believable(rate) {
			return Listed{}, false
		}
	}
	l := Listed{
		Input: jobs.Dollars(r.Input), CachedInput: jobs.Dollars(r.CachedInput), CacheWrite: jobs.Dollars(r.CacheWrite), Output: jobs.Dollars(r.Output),
		BatchInput: jobs.Dollars(r.BatchInput), BatchOutput: jobs.Dollars(r.BatchOutput),
		Context: max(r.Context, 0), MaxOutput: max(r.MaxOutput, 0), AsOf: asOf,
	}
	if l.CachedInput == 0 {
		l.CachedInput = l.Input
	}
	return l, true
}

func believable(rate float64) bool { return rate >= 0 && rate <= dearest && !math.IsNaN(rate) }

// Write writes the list as JSON.
func (p *PriceList) Write(w io.Writer) error {
	file := priceFile{Source: p.Source, AsOf: p.AsOf, Models: make(map[string]priceRow, len(p.Models))}
	for name, l := range p.Models {
		file.Models[name] = priceRow{
			dollars(l.Input), dollars(l.CachedInput), dollars(l.CacheWrite), dollars(l.Output),
			dollars(l.BatchInput), dollars(l.BatchOutput), l.Context, l.MaxOutput,
		}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	if err := enc.Encode(file); err != nil {
		return fmt.Errorf("writing the list of prices: %w", err)
	}
	return nil
}

func dollars(u jobs.USD) float64 { return float64(u) / float64(jobs.Dollar) }

// Find is the model that a provider calls upstream, by that very name, or else
// by the name without a date at its end.
func (p *PriceList) Find(upstream string) (Listed, bool) {
	if l, ok := p.Models[upstream]; ok {
		return l, true
	}
	for _, length := range []int{len("-latest"), len("-20250929"), len("-2025-04-14")} {
		if cut := len(upstream) - length; cut > 0 && isDate(upstream[cut:]) {
			if l, ok := p.Models[upstream[:cut]]; ok {
				return l, true
			}
		}
	}
	return Listed{}, false
}

// Lookup is the price of the model that a provider calls upstream, false if
// the list does not have it.
func (p *PriceList) Lookup(upstream string) (jobs.Price, bool) {
	l, ok := p.Find(upstream)
	return l.Price(), ok
}

// PriceFile opens the list at path for looking prices up in it.
func PriceFile(path string) (func(upstream string) (jobs.Price, bool), error) {
	list, err := OpenPrices(path)
	if err != nil {
		return nil, err
	}
	return list.Lookup, nil
}
