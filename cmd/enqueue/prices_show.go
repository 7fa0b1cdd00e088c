package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm"
)

// priceLine is a model's rates as scripts read them, in US dollars per million
// tokens; 0 where a rate is not known.
type priceLine struct {
	Name        string  `json:"name"`
	Upstream    string  `json:"upstream,omitempty"`
	Source      string  `json:"source"`
	AsOf        string  `json:"as_of"`
	Input       float64 `json:"input"`
	CachedInput float64 `json:"cached_input"`
	CacheWrite  float64 `json:"cache_write"`
	Output      float64 `json:"output"`
	BatchInput  float64 `json:"batch_input"`
	BatchOutput float64 `json:"batch_output"`
	Context     int     `json:"context"`
	MaxOutput   int     `json:"max_output"`
}

func line(name, source string, l llm.Listed) priceLine {
	return priceLine{
		Name: name, Source: source, AsOf: l.AsOf,
		Input: dollars(l.Input), CachedInput: dollars(l.CachedInput), CacheWrite: dollars(l.CacheWrite), Output: dollars(l.Output),
		BatchInput: dollars(l.BatchInput), BatchOutput: dollars(l.BatchOutput), Context: l.Context, MaxOutput: l.MaxOutput,
	}
}

// configured are the configured models' prices, by name; a model without one
// is among the unknown.
func configured(cfg *config.Config, lists []*llm.PriceList) (lines []priceLine, unknown []string) {
	from := "drover.yaml"
	if cfg.Simulated {
		from = "the simulator"
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Models)) {
		m := cfg.Models[name]
		if m.Price == nil {
			unknown = append(unknown, name)
			continue
		}
		p := line(name, from, llm.Listed{
			Input: m.Price.Input, CachedInput: m.Price.CachedInput, CacheWrite: m.Price.CacheWrite, Output: m.Price.Output,
			Context: m.Context, MaxOutput: m.MaxOutput, AsOf: m.Price.AsOf,
		})
		p.Upstream = m.Upstream
		for _, list := range lists {
			if l, ok := list.Find(cfg.ListedAs[name]); ok {
				p.Source, p.BatchInput, p.BatchOutput = list.Source, dollars(l.BatchInput), dollars(l.BatchOutput)
				break
			}
		}
		lines = append(lines, p)
	}
	return lines, unknown
}

// priceLists are the file that drover.yaml names, if any, and the built-in
// list, in the order in which they are asked.
func priceLists(cfg *config.Config) ([]*llm.PriceList, error) {
	lists := []*llm.PriceList{llm.BuiltIn()}
	if cfg.Prices != "" {
		own, err := llm.OpenPrices(cfg.Prices)
		if err != nil {
			return nil, err
		}
		own.Source = cfg.Prices
		lists = append([]*llm.PriceList{own}, lists...)
	}
	return lists, nil
}

// prices are the lists that apply, what the configured models cost, and those
// of them of which nobody knows.
func (c *cli) prices() (lists []*llm.PriceList, lines []priceLine, unknown []string, err error) {
	cfg, err := c.load()
	if err != nil {
		return nil, nil, nil, err
	}
	if lists, err = priceLists(cfg); err != nil {
		return nil, nil, nil, misused(err)
	}
	lines, unknown = configured(cfg, lists)
	return lists, lines, unknown, nil
}

func newPricesList(c *cli) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "list [TEXT]",
		Short: "List the configured models' prices, or all whose name contains a text",
		Args:  atMost(1),
		RunE: func(_ *cobra.Command, args []string) error {
			lists, lines, unknown, err := c.prices()
			if err != nil {
				return err
			}
			if all || len(args) > 0 {
				lines, unknown = listed(lists, strings.Join(args, "")), nil
			}
			if err := c.printPrices(lines); err != nil {
				return err
			}
			for _, name := range unknown {
				c.say("no price is known for %s: give it one with price: or, with priced_as:, a name that a list has", name)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "list all models that have a price, configured or not")
	return cmd
}

// listed are the models of all lists whose name contains the text, each from
// the first list that has it.
func listed(lists []*llm.PriceList, text string) []priceLine {
	seen := map[string]priceLine{}
	for _, list := range lists {
		for name, l := range list.Models {
			if _, ok := seen[name]; !ok && strings.Contains(name, text) {
				seen[name] = line(name, list.Source, l)
			}
		}
	}
	return slices.SortedFunc(maps.Values(seen), func(a, b priceLine) int { return cmp.Compare(a.Name, b.Name) })
}

func newPricesShow(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "show MODEL",
		Short: "Show all rates of a model, configured or listed",
		Args:  exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			lists, lines, unknown, err := c.prices()
			if err != nil {
				return err
			}
			for _, p := range lines {
				if p.Name == args[0] {
					return c.showPrice(p)
				}
			}
			if slices.Contains(unknown, args[0]) {
				return misused(fmt.Errorf("no price is known for %s: give it one with price: or, with priced_as:, a name that a list has", args[0]))
			}
			for _, list := range lists {
				if l, ok := list.Find(args[0]); ok {
					return c.showPrice(line(args[0], list.Source, l))
				}
			}
			return misused(fmt.Errorf("no model %q is configured or in a list of prices%s", args[0], config.DidYouMean(args[0], names(listed(lists, "")))))
		},
	}
}

func names(lines []priceLine) []string {
	out := make([]string, len(lines))
	for i, p := range lines {
		out[i] = p.Name
	}
	return out
}

func (c *cli) printPrices(lines []priceLine) error {
	table := newTable(c.out)
	for i, p := range lines {
		if c.json {
			if err := c.print(p); err != nil {
				return err
			}
			continue
		}
		if i == 0 {
			table.row("NAME", "INPUT", "CACHED", "OUTPUT", "AS OF", "FROM")
		}
		table.row(p.Name, jobs.Dollars(p.Input), jobs.Dollars(p.CachedInput), jobs.Dollars(p.Output), cmp.Or(p.AsOf, "-"), p.Source)
	}
	return table.flush()
}

func (c *cli) showPrice(p priceLine) error {
	if c.json {
		return c.print(p)
	}
	table := newTable(c.out)
	row := func(name, value string) { table.row(name, value) }
	row("model", p.Name)
	if p.Upstream != "" {
		row("asked for as", p.Upstream)
	}
	row("from", fmt.Sprintf("%s, as of %s", p.Source, cmp.Or(p.AsOf, "an unknown day")))
	for _, r := range []struct {
		name string
		rate float64
	}{
		{"input", p.Input}, {"cached input", p.CachedInput}, {"written to the cache", p.CacheWrite}, {"output", p.Output},
		{"input in the provider's batches", p.BatchInput}, {"output in the provider's batches", p.BatchOutput},
	} {
		if r.rate > 0 || r.name == "input" || r.name == "output" {
			row(r.name, jobs.Dollars(r.rate).String()+" per million tokens")
		}
	}
	if p.Context > 0 {
		row("context", strconv.Itoa(p.Context)+" tokens")
	}
	if p.MaxOutput > 0 {
		row("longest answer", strconv.Itoa(p.MaxOutput)+" tokens")
	}
	return table.flush()
}
