package embedded

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// askTimeout bounds how long a server is asked about its own settings.
const askTimeout = 2 * time.Second

// syncing is what a NATS server says of how it writes to disk.
type syncing struct {
	Always   bool          `json:"sync_always"`
	Interval time.Duration `json:"sync_interval"`
}

// note warns of a server that acknowledges what it has not written yet.
func (s syncing) note() string {
	if s.Always {
		return ""
	}
	return fmt.Sprintf("NATS does not sync every write (its sync_interval is %s): a power cut loses the jobs and outcomes of that time, though it has acknowledged them; set sync_interval: always in the jetstream block of its configuration, see deploy/config/nats.conf",
		cmp.Or(s.Interval, 2*time.Minute))
}

// SyncNote finds out whether the servers sync every write before they
// acknowledge it, and returns a warning for the operator if one does not, or if
// nobody can tell. It asks the monitoring addresses in o.Monitor or, without
// any, over a connection of its own, which the servers allow only where the
// system account exports that. It blocks for seconds at the most.
func SyncNote(ctx context.Context, o NATSOptions) string {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var all []syncing
	var err error
	if o.Monitor != "" {
		all, err = monitored(ctx, o)
	} else {
		all, err = inquired(ctx, o)
	}
	for _, s := range all {
		if note := s.note(); note != "" {
			return note
		}
	}
	if len(all) > 0 && err == nil {
		return ""
	}
	why := ""
	if o.Monitor != "" && err != nil {
		why = " (" + err.Error() + ")"
	}
	return "it could not be found out whether NATS syncs every write" + why + ": without sync_interval: always a power cut loses up to two minutes of jobs and outcomes; set nats.monitor to its monitoring address, such as http://127.0.0.1:8222, to have it checked"
}

// monitored asks every monitoring address.
func monitored(ctx context.Context, o NATSOptions) ([]syncing, error) {
	nc, err := o.inquirer(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	transport := &http.Transport{TLSClientConfig: o.TLS}
	defer transport.CloseIdleConnections()
	var all []syncing
	var errs []error
	for text := range strings.SplitSeq(o.Monitor, ",") {
		s, err := varz(ctx, &http.Client{Transport: transport}, strings.TrimSpace(text), nc)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, s)
	}
	return all, errors.Join(errs...)
}

// varz reads what the monitoring address says, if it is of a server that nc is
// connected to, or of its cluster.
func varz(ctx context.Context, client *http.Client, address string, nc *nats.Conn) (s syncing, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return s, errors.New("nats.monitor is not an address such as http://127.0.0.1:8222")
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.JoinPath("varz").String(), nil)
	if err != nil {
		return s, fmt.Errorf("asking %s: %w", u.Host, err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return s, fmt.Errorf("%s: %s", u.Host, reason(err))
	}
	defer func() { _ = resp.Body.Close() }()
	var said struct {
		ID        string                    `json:"server_id"`
		Cluster   struct{ Name string }     `json:"cluster"`
		JetStream struct{ Config *syncing } `json:"jetstream"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 4<<20)).Decode(&said); err != nil || said.JetStream.Config == nil {
		return s, fmt.Errorf("%s is not the monitoring address of a NATS server with JetStream", u.Host)
	}
	if said.ID != nc.ConnectedServerId() && (said.Cluster.Name == "" || said.Cluster.Name != nc.ConnectedClusterName()) {
		return s, fmt.Errorf("%s is the monitoring address of another NATS server", u.Host)
	}
	return *said.JetStream.Config, nil
}

// inquired asks over a connection. Where nobody may ask, it returns nothing.
func inquired(ctx context.Context, o NATSOptions) ([]syncing, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	nc, err := o.inquirer(ctx, func(error) { cancel() }) // a refusal comes instead of an answer
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	m, err := nc.RequestWithContext(ctx, "$SYS.REQ.SERVER.PING.JSZ", nil)
	if err != nil {
		return nil, err
	}
	var said struct {
		Data struct{ Config syncing } `json:"data"`
	}
	if err := json.Unmarshal(m.Data, &said); err != nil {
		return nil, err
	}
	return []syncing{said.Data.Config}, nil
}

// inquirer is a short-lived connection whose troubles are nobody's but ours.
func (o NATSOptions) inquirer(ctx context.Context, refused func(error)) (*nats.Conn, error) {
	servers, err := addresses(cmp.Or(o.URL, nats.DefaultURL), "nats", "tls", "ws", "wss")
	if err != nil {
		return nil, err
	}
	o.More = []nats.Option{nats.NoReconnect(), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if refused != nil {
			refused(err)
		}
	})}
	return dialNATS(ctx, servers, o)
}
