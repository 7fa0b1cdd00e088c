package main

import (
	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/internal/wire"
)

// newSetup lays out the streams on servers whose users are not all allowed to.
// It may be run at any time, and again.
func newSetup(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "setup",
		Short: "Lay out the streams on NATS, once, as its admin",
		Args:  atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.load()
			if err != nil {
				return err
			}
			s, err := wire.Setup(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			s.Examine(cmd.Context())
			for _, note := range s.Notes {
				c.say("note: %s", note)
			}
			c.say("the streams of prefix %s are there", cfg.Queue.Prefix)
			return s.Close()
		},
	}
}
