package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// newHealth asks the worker of this machine how it is, for containers that
// have nothing else to ask with.
func newHealth(s *serving) *cobra.Command {
	path := "/healthz"
	ready := false
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask the worker on this machine whether it is alive, or ready",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := s.settings()
			if err != nil {
				return err
			}
			if ready {
				path = "/readyz"
			}
			return ask(cmd.Context(), cfg.Worker.HTTP, path)
		},
	}
	cmd.Flags().BoolVar(&ready, "ready", false, "also fail while it could not take a job")
	cmd.Flags().AddFlag(s.root.Flags().Lookup("http"))
	cmd.Flags().AddFlag(s.root.Flags().Lookup("config"))
	return cmd
}

func ask(ctx context.Context, addr, path string) error {
	if addr == "" {
		return misuse{errors.New("worker.http is off: there is nobody to ask")}
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return misuse{fmt.Errorf("worker.http %q: %w", addr, err)}
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("asking the worker: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	why, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	return fmt.Errorf("the worker says: %s", bytes.TrimSpace(why))
}
