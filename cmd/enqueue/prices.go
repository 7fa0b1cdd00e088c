package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/documents"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm"
)

func newPrices(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "prices",
		Short: "See what models cost, and take prices over from public lists",
		Long: `A model's price is the one that drover.yaml gives it, else that of the file
which prices: names there, else the built-in one. Rates are in US dollars per
million tokens. A model that has no price anywhere cannot be asked where a
budget applies.`,
		Args: commandsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPricesList(c), newPricesShow(c), newPricesImport(c))
	return cmd
}

func newPricesImport(c *cli) *cobra.Command {
	var out, asOf string
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Make a list of prices of one that LiteLLM publishes",
		Long: `Reads model_prices_and_context_window.json of the LiteLLM project, which you
have downloaded, and writes a list that drover.yaml can name: prices: prices.json.
Nothing is fetched. Entries that make no sense are named and left out, and so
are models that neither write nor make vectors.`,
		Example: `  enqueue prices import model_prices_and_context_window.json`,
		Args:    exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return c.importPrices(args[0], out, asOf)
		},
	}
	cmd.Flags().StringVar(&out, "out", "prices.json", "`file` to write")
	cmd.Flags().StringVar(&asOf, "as-of", "", "`day` of the prices, as 2006-01-02 (default: when FILE was last changed)")
	return cmd
}

func (c *cli) importPrices(path, out, asOf string) error {
	f, err := os.Open(path)
	if err != nil {
		return misused(fmt.Errorf("reading the list: %w", err))
	}
	defer func() { _ = f.Close() }()
	if asOf == "" {
		info, err := f.Stat()
		if err != nil {
			return fmt.Errorf("reading the list: %w", err)
		}
		asOf = info.ModTime().Format(time.DateOnly)
	}
	if _, err := time.Parse(time.DateOnly, asOf); err != nil {
		return misused(fmt.Errorf("--as-of must be a day such as 2026-01-31, not %q", asOf))
	}
	list, left, err := llm.ImportLiteLLM(f, asOf)
	if err != nil {
		return misused(fmt.Errorf("%s: %w", path, err))
	}
	if err := documents.WriteAtomically(out, list.Write); err != nil {
		return err
	}
	others := 0
	for _, l := range left {
		if !l.Bad {
			others++
			continue
		}
		c.say("left out %q: %s", plain(l.Name), plain(l.Reason))
	}
	c.say("%s as of %s in %s; left out because they neither write nor make vectors: %d. Name the file in drover.yaml: prices: %s", jobs.Counted(len(list.Models), "model"), asOf, out, others, out)
	return nil
}
