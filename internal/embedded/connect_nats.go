package embedded

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

// connectTimeout is how long a server that does not answer is waited for.
const connectTimeout = 5 * time.Second

// NATSOptions says which NATS server to use, as whom.
type NATSOptions struct {
	URL       string      // one address or several, separated by commas; default nats://127.0.0.1:4222
	User      string      // replaces the one in URL
	Password  jobs.Secret // replaces the one in URL
	CredsFile string      // instead of a password
	TLS       *tls.Config // nil: only if the server asks for it
	Monitor   string      // HTTP monitoring address or several, for SyncNote; default none
	Name      string      // what the server calls this connection; default "drover"

	// More is handed to nats.Connect after ours: handlers for disconnects.
	More []nats.Option
}

// ConnectNATS connects and checks that the server can do what the queue needs.
// The note, if any, is a warning for the operator. The connection repairs
// itself for ever; the caller closes it.
func ConnectNATS(ctx context.Context, o NATSOptions) (nc *nats.Conn, note string, err error) {
	servers, err := addresses(cmp.Or(o.URL, nats.DefaultURL), "nats", "tls", "ws", "wss")
	if err != nil {
		return nil, "", fmt.Errorf("reading the address of NATS: %w", err)
	}
	nc, err = dialNATS(ctx, servers, o)
	if err != nil {
		return nil, "", err
	}
	note, err = checkNATS(ctx, nc)
	if err != nil {
		nc.Close()
		return nil, "", fmt.Errorf("the NATS server at %s: %w", shown(servers), err)
	}
	return nc, note, nil
}

func dialNATS(ctx context.Context, servers []*url.URL, o NATSOptions) (*nats.Conn, error) {
	timeout := connectTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, max(time.Until(deadline), time.Millisecond))
	}
	opts := []nats.Option{
		nats.Name(cmp.Or(o.Name, "drover")), nats.Timeout(timeout), nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // or a server that refuses us twice would be asked no more
	}
	if o.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(o.CredsFile))
	}
	if o.TLS != nil {
		opts = append(opts, nats.Secure(o.TLS))
	}
	nc, err := nats.Connect(joined(servers, o), append(opts, o.More...)...)
	if err == nil {
		return nc, nil
	}
	if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) {
		return nil, fmt.Errorf("NATS at %s does not accept %s: check the user and the password (NATS_PASSWORD), or nats.creds_file", shown(servers), who(servers, o))
	}
	advice := cmp.Or(distrust(err, "nats.tls", "nats", "tls", servers[0].Scheme), "Start one with: docker compose -f deploy/compose.yaml up -d nats, or run worker --embedded")
	return nil, fmt.Errorf("cannot reach NATS at %s: %s. %s", shown(servers), scrub(natsReason(err), passwords(servers, o.Password)...), advice)
}

// natsReason undoes that the client reports a refused connection only as
// having no servers.
func natsReason(err error) string {
	if errors.Is(err, nats.ErrNoServers) {
		return "connection refused"
	}
	if errors.Is(err, nats.ErrTimeout) {
		return "it did not answer in time"
	}
	return reason(err)
}

func who(servers []*url.URL, o NATSOptions) string {
	name := cmp.Or(o.User, servers[0].User.Username())
	switch {
	case o.CredsFile != "":
		return "the credentials in " + o.CredsFile
	case name != "":
		return fmt.Sprintf("the user %q", name)
	}
	return "a connection without a user"
}

func checkNATS(ctx context.Context, nc *nats.Conn) (note string, err error) {
	v := parseVersion(nc.ConnectedServerVersion())
	if v.before(oldestNATS) {
		return "", fmt.Errorf("version %s is too old, Drover needs %s for atomic publishing: use nats:%s", v, oldestNATS, steadyNATS)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	switch _, err = js.AccountInfo(ctx); {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return "", errors.New("it runs without JetStream: start it with -js, or with deploy/config/nats.conf")
	case err != nil:
		return "", fmt.Errorf("JetStream does not answer, or the user may not publish to $JS.API.INFO: %s", reason(err))
	}
	if v.before(steadyNATS) {
		return fmt.Sprintf("NATS %s works, but %s or later is recommended", v, steadyNATS), nil
	}
	return "", nil
}

// joined prints addresses for the client. It prefers what a URL says of the
// user over its options, so the options are put into the URLs.
func joined(servers []*url.URL, o NATSOptions) string {
	texts := make([]string, len(servers))
	for i, u := range servers {
		to := *u
		switch {
		case o.CredsFile != "":
			to.User = nil
		case !o.Password.Empty():
			to.User = url.UserPassword(cmp.Or(o.User, u.User.Username()), o.Password.Reveal())
		case o.User != "":
			password, _ := u.User.Password()
			to.User = url.UserPassword(o.User, password)
		}
		texts[i] = to.String()
	}
	return strings.Join(texts, ",")
}

func passwords(servers []*url.URL, more jobs.Secret) []string {
	all := []string{more.Reveal()}
	for _, u := range servers {
		password, _ := u.User.Password()
		all = append(all, password)
	}
	return all
}
