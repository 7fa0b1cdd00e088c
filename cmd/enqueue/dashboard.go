package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/internal/dashboard"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
)

// tokenVariable holds the token of the dashboard unless --token-file does.
const tokenVariable = "DROVER_DASHBOARD_TOKEN" //nolint:gosec // the name of a variable

// leastToken is how long a token has to be at the least: it is all that keeps
// others out.
const leastToken = 16

// boarding is one `enqueue dashboard`.
type boarding struct {
	listen, tokenFile string
	readOnly          bool
}

func newDashboard(c *cli) *cobra.Command {
	var d boarding
	cmd := &cobra.Command{
		Use:   "dashboard",
		Short: "Show the fleet in a browser: batches, models, budgets and dead letters",
		Long: `Serves pages that follow the fleet: how fast its batches come along, how its
models, quotas and budgets stand, and what died of what. Batches are paused,
resumed and cancelled there, limits changed, and dead letters replayed or dropped,
as far as the NATS user of this command may. Prompts, documents and answers are
not shown.

On an address that others reach, a token is needed: browsers ask for it as a
password, with any name. It is read from --token-file or
` + tokenVariable + `, and has 16 characters or more. Put a proxy with TLS in front
where the network is not yours alone.`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			token, err := d.token()
			if err != nil {
				return misused(err)
			}
			return c.reach(cmd.Context(), func(ctx context.Context, s *wire.Servers) error {
				if s.Embedded {
					return misused(errors.New("nobody runs here whom the dashboard could follow: start worker --embedded in this folder, or name servers with --nats and --redis"))
				}
				traced, err := c.traceEnds(ctx, s)
				if err != nil {
					return err
				}
				defer traced()
				c.tellSimulated(s)
				return d.serve(ctx, c, dashboard.Config{Servers: s, Token: token, ReadOnly: d.readOnly})
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&d.listen, "listen", "127.0.0.1:8090", "`address` to serve on")
	f.StringVar(&d.tokenFile, "token-file", "", "`file` that holds the token (default: $"+tokenVariable+")")
	f.BoolVar(&d.readOnly, "read-only", false, "let nobody change anything")
	return cmd
}

// token reads the token, which an address that others reach needs.
func (d *boarding) token() (jobs.Secret, error) {
	text, from := os.Getenv(tokenVariable), tokenVariable
	if d.tokenFile != "" {
		data, err := os.ReadFile(d.tokenFile)
		if err != nil {
			return jobs.Secret{}, err
		}
		text, from = string(data), d.tokenFile
	}
	text = strings.TrimSpace(text)
	if text == "" && d.tokenFile == "" {
		if host, _, err := net.SplitHostPort(d.listen); err != nil {
			return jobs.Secret{}, fmt.Errorf("--listen %s: use an address such as 127.0.0.1:8090: %w", d.listen, err)
		} else if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return jobs.Secret{}, fmt.Errorf("--listen %s is for others to reach: set a token in %s or --token-file", d.listen, tokenVariable)
		}
		return jobs.Secret{}, nil
	}
	if len(text) < leastToken {
		return jobs.Secret{}, fmt.Errorf("the token in %s has %s: use %d or more", from, jobs.Counted(len(text), "character"), leastToken)
	}
	return jobs.NewSecret(text), nil
}

// serve serves until it is interrupted, which is its ordinary end.
func (d *boarding) serve(ctx context.Context, c *cli, config dashboard.Config) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	l, err := net.Listen("tcp", d.listen)
	if err != nil {
		return fmt.Errorf("serving the dashboard: %w; choose another address with --listen", err)
	}
	server := &http.Server{
		Handler:           dashboard.New(config),
		BaseContext:       func(net.Listener) context.Context { return ctx }, // ends what pages follow
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    1 << 16,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	c.say("the dashboard is at http://%s/ until this is interrupted", l.Addr())
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err = server.Shutdown(end)
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}
