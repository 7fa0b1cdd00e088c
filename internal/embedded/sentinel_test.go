package embedded_test

import (
	"net"
	"strings"
	"testing"

	"github.com/drover-batch/drover/internal/embedded"
	"github.com/drover-batch/drover/internal/redistest"
	"github.com/drover-batch/drover/jobs"
)

func TestSentinelsLeadToTheirMaster(t *testing.T) {
	t.Parallel()
	s := redistest.StartWatched(t, "hunter2")
	// One of the Sentinels may be away.
	o := embedded.RedisOptions{
		URL: "redis://127.0.0.1:1," + s.Sentinel.Addr, Password: jobs.NewSecret("hunter2"),
		Sentinel: s.Name, SentinelPassword: jobs.NewSecret("hunter2!"),
	}
	client, note, err := embedded.ConnectRedis(t.Context(), o)
	if err != nil || note != "" {
		t.Fatalf("note %q, error %v", note, err)
	}
	defer func() { _ = client.Close() }()
	_, port, _ := net.SplitHostPort(s.Master.Addr)
	if info := client.Info(t.Context(), "server").Val(); !strings.Contains(info, "tcp_port:"+port+"\r\n") {
		t.Errorf("this is not the master at port %s:\n%s", port, info)
	}
	if note := embedded.PersistenceNote(t.Context(), client); !strings.Contains(note, "appendonly no") {
		t.Errorf("note %q; want one on what the master keeps", note)
	}

	for name, test := range map[string]struct {
		change func(*embedded.RedisOptions)
		want   []string
	}{
		"another name":             {func(o *embedded.RedisOptions) { o.Sentinel = "theirmaster" }, []string{`no master called "theirmaster"`, "redis.sentinel"}},
		"wrong Sentinel password":  {func(o *embedded.RedisOptions) { o.SentinelPassword = jobs.NewSecret("wrong") }, []string{"do not accept", "REDIS_SENTINEL_PASSWORD"}},
		"no Sentinel password":     {func(o *embedded.RedisOptions) { o.SentinelPassword = jobs.Secret{} }, []string{"do not accept", "REDIS_SENTINEL_PASSWORD"}},
		"wrong password of Redis":  {func(o *embedded.RedisOptions) { o.Password = jobs.NewSecret("wrong") }, []string{"does not accept", "(REDIS_PASSWORD)"}},
		"nobody there":             {func(o *embedded.RedisOptions) { o.URL = "redis://127.0.0.1:1" }, []string{"cannot reach a Sentinel", "refused"}},
		"the master's own address": {func(o *embedded.RedisOptions) { o.URL, o.SentinelPassword = s.Master.Addr, o.Password }, []string{"no Sentinel", "redis.url"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := o
			o.URL = s.Sentinel.Addr
			test.change(&o)
			_, _, err := embedded.ConnectRedis(t.Context(), o)
			refuses(t, err, test.want...)
		})
	}
}

func TestClusterIsReachedThroughAnyOfItsNodes(t *testing.T) {
	t.Parallel()
	nodes := redistest.SharedCluster(t)
	for url, cluster := range map[string]bool{strings.Join(nodes, ","): false, nodes[2]: true, nodes[1] + ",127.0.0.1:1": false} {
		client, note, err := embedded.ConnectRedis(t.Context(), embedded.RedisOptions{URL: url, Cluster: cluster})
		if err != nil || note != "" {
			t.Errorf("%s: note %q, error %v", url, note, err)
			continue
		}
		if err := client.Set(t.Context(), "{drover}:x", 1, 0).Err(); err != nil {
			t.Error(err)
		}
		_ = client.Close()
	}
}
