package llm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// LeftOut is an entry of a price list that was not taken over.
type LeftOut struct {
	Name   string
	Reason string
	Bad    bool // it makes no sense, rather than being for another purpose
}

// ImportLiteLLM reads LiteLLM's model_prices_and_context_window.json, as it
// stood on the day asOf. Models that answer in words or vectors and are priced
// by the token are taken over; the rest is named with the reason.
func ImportLiteLLM(r io.Reader, asOf string) (*PriceList, []LeftOut, error) {
	var file map[string]json.RawMessage
	if err := json.NewDecoder(r).Decode(&file); err != nil {
		return nil, nil, fmt.Errorf("reading the list: %w; is it LiteLLM's model_prices_and_context_window.json?", err)
	}
	list := &PriceList{Source: "LiteLLM", AsOf: asOf, Models: make(map[string]Listed)}
	var left []LeftOut
	for _, key := range slices.Sorted(maps.Keys(file)) {
		if key == "sample_spec" {
			continue
		}
		var e liteEntry
		if err := json.Unmarshal(file[key], &e); err != nil {
			left = append(left, LeftOut{key, "it is not as the other entries are: " + plainJSONError(err), true})
			continue
		}
		if e.Mode != "chat" && e.Mode != "completion" && e.Mode != "responses" && e.Mode != "embedding" {
			left = append(left, LeftOut{key, "it is for " + mode(e.Mode), false})
			continue
		}
		l, reason := e.listed(asOf, file[key])
		if reason != "" {
			left = append(left, LeftOut{key, reason, true})
			continue
		}
		list.Models[e.name(key)] = l
	}
	if len(list.Models) == 0 {
		return nil, left, errors.New("the list has no model that is priced by the token; is it LiteLLM's model_prices_and_context_window.json?")
	}
	return list, left, nil
}

// liteEntry is what an entry says, in dollars per token.
type liteEntry struct {
	Provider    string   `json:"litellm_provider"`
	Mode        string   `json:"mode"`
	Input       *float64 `json:"input_cost_per_token"`
	Output      *float64 `json:"output_cost_per_token"`
	Reasoning   float64  `json:"output_cost_per_reasoning_token"`
	CacheRead   float64  `json:"cache_read_input_token_cost"`
	CacheWrite  float64  `json:"cache_creation_input_token_cost"`
	BatchInput  float64  `json:"input_cost_per_token_batches"`
	BatchOutput float64  `json:"output_cost_per_token_batches"`
	MostInput   float64  `json:"max_input_tokens"`
	MostOutput  float64  `json:"max_output_tokens"`
	Most        float64  `json:"max_tokens"`
}

// name is what the provider itself calls the model, where it is the list's
// habit to put its own name for the provider in front or to use the same name
// for another provider.
func (e *liteEntry) name(key string) string {
	switch {
	case strings.HasPrefix(e.Provider, "vertex_ai") && !strings.Contains(key, "/"):
		return "vertex_ai/" + key
	case e.Provider == "gemini" || e.Provider == "openai" || e.Provider == "anthropic":
		return strings.TrimPrefix(key, e.Provider+"/")
	}
	return key
}

// listed converts the rates, or says what is wrong with them.
func (e *liteEntry) listed(asOf string, raw json.RawMessage) (Listed, string) {
	vectors := e.Mode == "embedding"
	switch {
	case e.Input == nil:
		return Listed{}, "it has no price per token of input"
	case e.Output == nil && !vectors:
		return Listed{}, "it has no price per token of output"
	}
	row := priceRow{
		Input: *e.Input * 1e6, CachedInput: e.CacheRead * 1e6, CacheWrite: e.CacheWrite * 1e6,
		BatchInput: e.BatchInput * 1e6, BatchOutput: e.BatchOutput * 1e6,
		Context: tokens(e.MostInput), MaxOutput: tokens(e.MostOutput),
	}
	if e.Output != nil && !vectors {
		row.Output = max(*e.Output, e.Reasoning) * 1e6
	}
	if row.Context == 0 {
		row.Context = tokens(e.Most)
	}
	if tier := dearerAbove(raw); tier > 0 && (row.Context == 0 || tier < row.Context) {
		row.Context = tier
	}
	if vectors {
		row.MaxOutput = 0
	}
	l, ok := row.listed(asOf)
	if !ok {
		return Listed{}, "its rates are not between 0 and " + strconv.Itoa(dearest) + " dollars per million tokens"
	}
	return l, ""
}

// tier finds rates that hold beyond a number of tokens.
var tier = regexp.MustCompile(`^(?:input|output)_cost_per_token_above_([0-9]+)k_tokens$`)

// dearerAbove is the number of tokens beyond which other rates hold, 0 if none
// do.
func dearerAbove(raw json.RawMessage) int {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return 0
	}
	lowest := 0
	for key := range fields {
		if m := tier.FindStringSubmatch(key); m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil && n > 0 && n < 1<<20 && (lowest == 0 || n*1000 < lowest) {
				lowest = n * 1000
			}
		}
	}
	return lowest
}

// tokens reads a number of them; one that makes no sense is unknown.
func tokens(n float64) int {
	if n >= 1 && n < 1<<32 {
		return int(n)
	}
	return 0
}

func mode(name string) string {
	if name == "" {
		return "nobody says what"
	}
	return name
}

// plainJSONError says which field is of the wrong type.
func plainJSONError(err error) string {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		return wrong.Field + " is a " + wrong.Value
	}
	return err.Error()
}
