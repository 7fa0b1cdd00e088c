// Package natstest starts real NATS servers in the process of a test, alone or in
// a cluster, and has room for what they store.
package natstest

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/drover-batch/drover/internal/ports"
)

// Cluster is three servers with JetStream, in real time.
type Cluster struct {
	Servers []*server.Server
}

// StartCluster starts a cluster until the end of the test, and returns when it
// has a leader.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	name, routes := rand.Text(), make([]*url.URL, 3)
	for i := range routes { // peers have to know each other's before they start
		port, err := ports.Free()
		if err != nil {
			t.Fatal(err)
		}
		routes[i] = &url.URL{Scheme: "nats", Host: "127.0.0.1:" + port}
	}
	c := &Cluster{}
	for i, route := range routes {
		port, err := strconv.Atoi(route.Port())
		if err != nil {
			t.Fatal(err)
		}
		srv, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprint(name, i), JetStream: true, StoreDir: Dir(t), NoLog: true, NoSigs: true,
			Host: "127.0.0.1", Port: server.RANDOM_PORT, // routes are not opened by one that does not listen
			Cluster: server.ClusterOpts{Name: name, Host: "127.0.0.1", Port: port}, Routes: routes,
		})
		if err != nil {
			t.Fatal(err)
		}
		srv.Start()
		t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
		c.Servers = append(c.Servers, srv)
	}
	c.AwaitLeader(t)
	return c
}

// AwaitLeader returns when the servers have one.
func (c *Cluster) AwaitLeader(t testing.TB) {
	t.Helper()
	for until := time.Now().Add(30 * time.Second); !c.led(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			for _, s := range c.Servers {
				t.Logf("%s: %d routes, current: %v, leads: %v, peers: %d",
					s.Name(), s.NumRoutes(), s.JetStreamIsCurrent(), s.JetStreamIsLeader(), len(s.JetStreamClusterPeers()))
			}
			t.Fatal("the cluster has no leader")
		}
	}
}

// led reports whether all servers know of a leader, which is one of them and
// knows that streams may be placed on each.
func (c *Cluster) led() bool {
	led := false
	for _, s := range c.Servers {
		if !s.JetStreamIsCurrent() {
			return false
		}
		led = led || s.JetStreamIsLeader() && len(s.JetStreamClusterPeers()) == len(c.Servers)
	}
	return led
}

// URL is where clients find the servers.
func (c *Cluster) URL() string {
	urls := make([]string, len(c.Servers))
	for i, s := range c.Servers {
		urls[i] = s.ClientURL()
	}
	return strings.Join(urls, ",")
}

// StepDown has the stream's leader make way for another, if it has one.
func StepDown(nc *nats.Conn, stream string) {
	_, _ = nc.Request("$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil, 2*time.Second)
}
