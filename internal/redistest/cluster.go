package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const slots = 16384

// Cluster is a Redis Cluster of three masters, and one replica of each if so
// wished.
type Cluster struct {
	Masters, Replicas []*Server
}

// shared is the one cluster that the tests of this process use in turn.
var shared struct {
	sync.Mutex
	*Cluster
	dir string
	err error
}

// SharedCluster returns the addresses of a cluster of three that is empty and
// this test's alone until it ends. A package whose tests use it has Main run
// them.
func SharedCluster(t testing.TB) (addrs []string) {
	t.Helper()
	path := program(t, "redis-server")
	shared.Lock()
	t.Cleanup(shared.Unlock)
	if shared.Cluster == nil && shared.err == nil {
		if shared.dir, shared.err = os.MkdirTemp("", "drover-cluster-"); shared.err == nil {
			shared.Cluster, shared.err = startCluster(path, shared.dir, 0, 15*time.Second)
		}
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	for _, s := range shared.Masters {
		if err := s.do(func(ctx context.Context, node *redis.Client) error { return node.FlushAll(ctx).Err() }); err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, s.Addr)
	}
	return addrs
}

// Main runs the tests of a package, and ends what they shared.
func Main(m *testing.M) (code int) {
	code = m.Run()
	if shared.Cluster != nil {
		shared.stop()
	}
	_ = os.RemoveAll(shared.dir)
	return code
}

// StartCluster starts a cluster of the test's own, in which each master has a
// replica that takes over two or three seconds after the master's end.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	c, err := startCluster(program(t, "redis-server"), t.TempDir(), 1, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.stop)
	return c
}

// Addrs are those of all nodes.
func (c *Cluster) Addrs() (all []string) {
	for _, s := range append(c.Masters, c.Replicas...) {
		all = append(all, s.Addr)
	}
	return all
}

// Holder is the master that has a key. Its replica is at the same place among
// the Replicas as it is among the Masters.
func (c *Cluster) Holder(t testing.TB, key string) *Server {
	t.Helper()
	var slot int64
	err := c.Masters[0].do(func(ctx context.Context, node *redis.Client) (err error) {
		slot, err = node.ClusterKeySlot(ctx, key).Result()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	n := len(c.Masters)
	for i, s := range c.Masters {
		if int(slot) < (i+1)*slots/n {
			return s
		}
	}
	return nil
}

func (c *Cluster) stop() {
	for _, s := range append(c.Masters, c.Replicas...) {
		s.Kill()
	}
}

func startCluster(path, dir string, replicas int, timeout time.Duration) (*Cluster, error) {
	c := &Cluster{}
	for i := range 3 * (1 + replicas) {
		s, err := listen(path, filepath.Join(dir, fmt.Sprint(i)), "--port", "--cluster-enabled", "yes",
			"--cluster-node-timeout", fmt.Sprint(timeout.Milliseconds()), "--repl-diskless-sync-delay", "0")
		if err != nil {
			c.stop()
			return nil, err
		}
		if i < 3 {
			c.Masters = append(c.Masters, s)
		} else {
			c.Replicas = append(c.Replicas, s)
		}
	}
	if err := c.form(); err != nil {
		c.stop()
		return nil, fmt.Errorf("forming a cluster: %w", err)
	}
	return c, nil
}

// form deals the slots and has the nodes meet.
func (c *Cluster) form() error {
	var ids []string
	for i, s := range append(c.Masters, c.Replicas...) {
		err := s.do(func(ctx context.Context, node *redis.Client) error {
			ids = append(ids, node.Do(ctx, "cluster", "myid").Val().(string))
			if err := node.Do(ctx, "cluster", "set-config-epoch", i+1).Err(); err != nil || i >= len(c.Masters) {
				return err
			}
			n := len(c.Masters)
			return node.ClusterAddSlotsRange(ctx, i*slots/n, (i+1)*slots/n-1).Err()
		})
		if err != nil {
			return err
		}
	}
	err := c.Masters[0].do(func(ctx context.Context, node *redis.Client) error {
		for _, s := range append(c.Masters[1:], c.Replicas...) {
			host, port, _ := strings.Cut(s.Addr, ":")
			if err := node.ClusterMeet(ctx, host, port).Err(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, s := range c.Replicas {
		if err := s.until(func(ctx context.Context, node *redis.Client) bool {
			return node.ClusterReplicate(ctx, ids[i]).Err() == nil // once it has heard of its master
		}); err != nil {
			return err
		}
	}
	return c.settle(len(ids))
}

// settle waits until every node knows of all the others.
func (c *Cluster) settle(nodes int) error {
	for _, s := range append(c.Masters, c.Replicas...) {
		err := s.until(func(ctx context.Context, node *redis.Client) bool {
			info := node.ClusterInfo(ctx).Val()
			return field(info, "cluster_state") == "ok" && field(info, "cluster_known_nodes") == strconv.Itoa(nodes)
		})
		if err != nil {
			return err
		}
	}
	for _, s := range c.Replicas {
		if err := s.until(linked); err != nil {
			return err
		}
	}
	return nil
}

// linked reports whether a replica has what its master has.
func linked(ctx context.Context, node *redis.Client) bool {
	return field(node.Info(ctx, "replication").Val(), "master_link_status") == "up"
}

func field(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// do asks this server alone.
func (s *Server) do(f func(context.Context, *redis.Client) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	node := redis.NewClient(&redis.Options{Addr: s.Addr, Password: s.password, Protocol: 2, DisableIdentity: true})
	defer func() { _ = node.Close() }()
	return f(ctx, node)
}

// until asks the server again and again.
func (s *Server) until(f func(context.Context, *redis.Client) bool) error {
	return s.do(func(ctx context.Context, node *redis.Client) error {
		for !f(ctx, node) {
			select {
			case <-ctx.Done():
				return errors.New(s.Addr + " did not come to it in time")
			case <-time.After(20 * time.Millisecond):
			}
		}
		return nil
	})
}
