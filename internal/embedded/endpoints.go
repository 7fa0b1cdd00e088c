package embedded

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// Endpoints tells other processes on this machine where the servers of a data
// folder are. Only the folder's owner can read it, as it holds passwords.
type Endpoints struct {
	NATS    string    `json:"nats"`    // URL, with its password
	Redis   string    `json:"redis"`   // URL, with its password
	Server  string    `json:"server"`  // NATS.ID of the run that wrote this
	PID     int       `json:"pid"`     // the process the servers live in
	Started time.Time `json:"started"` // when
}

const endpointsFile = "endpoints.json"

// WriteEndpoints puts the addresses of both servers into the data folder,
// whole or not at all.
func WriteEndpoints(dir string, n *NATS, r *Redis) error {
	e := Endpoints{NATS: n.URL(), Redis: r.URL(), Server: n.ID(), PID: os.Getpid(), Started: time.Now().UTC().Round(time.Second)}
	data, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the endpoints: %w", err)
	}
	tmp, err := os.CreateTemp(dir, endpointsFile+".*")
	if err != nil {
		return fmt.Errorf("writing the endpoints: %w", err)
	}
	_, err = tmp.Write(append(data, '\n'))
	if err := errors.Join(err, tmp.Close()); err != nil {
		return errors.Join(fmt.Errorf("writing the endpoints: %w", err), os.Remove(tmp.Name()))
	}
	if err := os.Rename(tmp.Name(), filepath.Join(dir, endpointsFile)); err != nil {
		return errors.Join(fmt.Errorf("writing the endpoints: %w", err), os.Remove(tmp.Name()))
	}
	return nil
}

// RemoveEndpoints takes the file away when the servers stop.
func RemoveEndpoints(dir string) error {
	if err := os.Remove(filepath.Join(dir, endpointsFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the endpoints: %w", err)
	}
	return nil
}

// FindEndpoints returns the endpoints of a data folder if their servers are
// alive. A file that a killed process left behind counts as none, even if
// somebody else listens on its port by now.
func FindEndpoints(ctx context.Context, dir string) (e Endpoints, ok bool, err error) {
	path := filepath.Join(dir, endpointsFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Endpoints{}, false, nil
	}
	if err != nil {
		return Endpoints{}, false, fmt.Errorf("reading the endpoints: %w", err)
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return Endpoints{}, false, fmt.Errorf("reading the endpoints in %s: %w; remove the file if no worker --embedded runs there", path, err)
	}
	if !e.alive(ctx) {
		return Endpoints{}, false, nil
	}
	return e, true, nil
}

// alive asks whoever listens at the NATS address for its id. A server says it
// first thing, before anybody logs in.
func (e Endpoints) alive(ctx context.Context) bool {
	u, err := url.Parse(e.NATS)
	if err != nil || e.Server == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	return greeting(conn) == e.Server
}

// greeting reads the server's id from the line INFO {…} it opens with.
func greeting(r io.Reader) string {
	line, err := bufio.NewReader(io.LimitReader(r, 64<<10)).ReadBytes('\n')
	if err != nil || len(line) < len("INFO ") {
		return ""
	}
	var info struct {
		ID string `json:"server_id"`
	}
	if json.Unmarshal(line[len("INFO "):], &info) != nil {
		return ""
	}
	return info.ID
}
