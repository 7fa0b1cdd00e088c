package deploy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/drover-batch/drover/internal/natstest"
	"github.com/drover-batch/drover/internal/ports"
)

// startCluster runs the three servers of ha/cluster.conf, each on ports and in a
// folder of its own.
func startCluster(t *testing.T) *natstest.Cluster {
	t.Helper()
	dir := t.TempDir()
	conf := map[string]string{}
	for _, name := range []string{"config/nats.conf", "kubernetes/ha/cluster.conf"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		conf[filepath.Base(name)] = string(data)
	}
	peers := make([]string, 3)
	for i := range peers {
		var err error
		if peers[i], err = ports.Free(); err != nil {
			t.Fatal(err)
		}
	}
	c := &natstest.Cluster{}
	for i := range peers {
		own := filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(own, 0o700); err != nil {
			t.Fatal(err)
		}
		moved := conf["cluster.conf"]
		for n, port := range peers {
			moved = strings.ReplaceAll(moved, fmt.Sprintf("nats-%d.nats-peers:6222", n), "127.0.0.1:"+port)
		}
		moved = strings.NewReplacer("$POD_NAME", fmt.Sprintf("nats-%d", i), "0.0.0.0:6222", "127.0.0.1:"+peers[i]).Replace(moved)
		for name, text := range map[string]string{"nats.conf": conf["nats.conf"], "cluster.conf": moved} {
			if err := os.WriteFile(filepath.Join(own, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		opts, err := server.ProcessConfigFile(filepath.Join(own, "cluster.conf"))
		if err != nil {
			t.Fatal(err)
		}
		if opts.ServerName != fmt.Sprintf("nats-%d", i) || !opts.SyncAlways || opts.StoreDir != "/data" {
			t.Errorf("server %d is %q, syncs always: %v, in %s", i, opts.ServerName, opts.SyncAlways, opts.StoreDir)
		}
		c.Servers = append(c.Servers, natstest.Start(t, opts, own))
	}
	c.AwaitLeader(t)
	return c
}

func TestThreeServersOfHAAreOneClusterAndSetupAsksForThreeReplicas(t *testing.T) {
	t.Parallel()
	m := readManifests(t)
	if n := m.config(m.workloads()["setup"], "kubernetes/ha").Queue.Replicas; n != 3 {
		t.Errorf("setup keeps each message %d times", n)
	}
	startCluster(t) // which waits until they have a leader
}

// A cluster that is started on the store of a single server deletes its streams.
// Kubernetes refuses to change the name of a StatefulSet's Service.
func TestClusterIsNotStartedOnTheStoreOfASingleServer(t *testing.T) {
	t.Parallel()
	m := readManifests(t)
	single := m.workloads()["nats"].set.ServiceName
	each(m, "StatefulSet", func(file string, _ manifest, s *statefulSetSpec) {
		if file == "kubernetes/ha/nats.yaml" && (s.ServiceName == single || s.ServiceName == "") {
			t.Errorf("with ha its Service is %q, as without: %q", s.ServiceName, single)
		}
	})
}
