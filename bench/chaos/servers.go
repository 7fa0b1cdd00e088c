package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/bench/process"
	"github.com/drover-batch/drover/internal/ports"
)

// user is who everybody connects to NATS as.
const user = "drover"

// natsNode is one NATS server, on a port that the system gives it anew at each
// start.
type natsNode struct {
	name, dir string
	route     string // address for its peers; "" if it is alone
	proc      *process.Child
	client    string // address for clients
}

// natsConfig is what a node runs with. No node tells clients of its peers, so
// that nobody gets around the proxies.
func (r *rig) natsConfig(n *natsNode) string {
	var b strings.Builder
	fmt.Fprintf(&b, "server_name: %s\nlisten: \"127.0.0.1:-1\"\nports_file_dir: %q\nping_interval: 5s\n", n.name, n.dir)
	fmt.Fprintf(&b, "jetstream { store_dir: %q, sync_interval: always }\n", filepath.Join(n.dir, "store"))
	fmt.Fprintf(&b, "authorization { user: %s, password: %q }\n", user, r.secrets.nats)
	if n.route == "" {
		return b.String()
	}
	routes := make([]string, 0, len(r.nats))
	for _, peer := range r.nats {
		routes = append(routes, fmt.Sprintf("%q", "nats-route://"+peer.route))
	}
	fmt.Fprintf(&b, "cluster { name: chaos, listen: %q, no_advertise: true, routes: [%s] }\n", n.route, strings.Join(routes, ", "))
	return b.String()
}

// layOutNATS decides on the nodes there are.
func (r *rig) layOutNATS() error {
	nodes := 1
	if r.cluster {
		nodes = 3
	}
	for i := range nodes {
		n := &natsNode{name: fmt.Sprintf("nats%d", i+1), dir: filepath.Join(r.dir, fmt.Sprintf("nats%d", i+1))}
		if r.cluster {
			// Peers have to know each other's ports before they start.
			port, err := ports.Free()
			if err != nil {
				return err
			}
			n.route = "127.0.0.1:" + port
		}
		if err := os.MkdirAll(n.dir, 0o700); err != nil {
			return err
		}
		r.nats = append(r.nats, n)
	}
	return nil
}

// startNATS starts a node and returns when it takes clients.
func (r *rig) startNATS(n *natsNode) error {
	proc, addr, err := r.children.NATS(r.programs, n.name, n.dir, r.natsConfig(n), r.logOf(n.name))
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	n.proc, n.client = proc, addr
	return nil
}

func (r *rig) dialNATS(n *natsNode) func() (net.Conn, error) {
	return func() (net.Conn, error) {
		r.mu.Lock()
		addr := n.client
		r.mu.Unlock()
		return net.DialTimeout("tcp", addr, time.Second)
	}
}

// redisServer listens on a socket in its folder: no port can be taken by
// anybody else while it is down.
type redisServer struct {
	dir, socket string
	proc        *process.Child
	client      *redis.Client
}

func (r *rig) layOutRedis() error {
	dir := filepath.Join(r.dir, "redis")
	r.redis = &redisServer{dir: dir, socket: filepath.Join(dir, "s")}
	r.redis.client = redis.NewClient(&redis.Options{Network: "unix", Addr: r.redis.socket, Password: r.secrets.redis, MaxRetries: -1})
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	text := fmt.Sprintf("port 0\nunixsocket %s\nrequirepass %s\ndir %s\nsave \"\"\nappendonly yes\nappendfsync always\nmaxmemory-policy noeviction\n",
		r.redis.socket, r.secrets.redis, dir)
	return os.WriteFile(filepath.Join(dir, "redis.conf"), []byte(text), 0o600)
}

// startRedis returns when the server has read its file and takes commands.
func (r *rig) startRedis() error {
	proc, err := r.children.Redis(r.programs, filepath.Join(r.redis.dir, "redis.conf"), r.logOf("redis"), r.redis.client)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.redis.proc = proc
	return nil
}

func (r *rig) dialRedis() (net.Conn, error) {
	return net.DialTimeout("unix", r.redis.socket, time.Second)
}

func (r *rig) logOf(name string) string { return filepath.Join(r.dir, "logs", name+".log") }
