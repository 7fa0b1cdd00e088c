package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/ports"
)

// rig is what all trials share.
type rig struct {
	options
	notes interface{ Write([]byte) (int, error) }
	dir   string
	redis string // redis-server
	dice  *rand.Rand
}

// build builds what is ours, and NATS.
func (r *rig) build(ctx context.Context) error {
	r.say("building")
	bin := filepath.Join(r.dir, "bin") + string(filepath.Separator)
	if err := os.MkdirAll(bin, 0o700); err != nil {
		return err
	}
	const module = "github.com/drover-batch/drover/"
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, module+"cmd/worker", module+"cmd/enqueue", "github.com/nats-io/nats-server/v2")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the programs: %w: %s", err, out)
	}
	return nil
}

func (r *rig) program(name string) string { return filepath.Join(r.dir, "bin", name) }

// how is how the servers of a trial keep their data, and what befalls it.
type how string

const (
	synced   how = "power cut, every write synced"
	unsynced how = "power cut, servers' defaults"
	crammed  how = "full disk, every write synced"
)

// servers are NATS and Redis on a disk. They keep their ports when they start
// again, as clients know them.
type servers struct {
	rig  *rig
	dir  string // for what must not get lost
	disk *disk
	how  how

	natsPort, monitorPort, redisPort string
	nats, redis                      *child
}

func (s *servers) layOut() error {
	var err error
	if s.natsPort, err = ports.Free(); err != nil {
		return err
	}
	if s.monitorPort, err = ports.Free(); err != nil {
		return err
	}
	if s.redisPort, err = ports.Free(); err != nil {
		return err
	}
	interval, fsync, redisDir := "always", "always", s.disk.path("redis")
	switch s.how {
	case unsynced:
		interval, fsync = "2m", "everysec"
	case crammed:
		redisDir = filepath.Join(s.dir, "redis")
	}
	if err := os.MkdirAll(redisDir, 0o700); err != nil {
		return err
	}
	natsConf := fmt.Sprintf("server_name: power\nlisten: \"127.0.0.1:%s\"\nhttp: \"127.0.0.1:%s\"\njetstream { store_dir: %q, sync_interval: %s, max_file_store: 16GB }\n", s.natsPort, s.monitorPort, s.disk.path("nats"), interval)
	redisConf := fmt.Sprintf("bind 127.0.0.1\nport %s\ndir %s\nsave \"\"\nappendonly yes\nappendfsync %s\nmaxmemory-policy noeviction\n", s.redisPort, redisDir, fsync)
	if err := os.WriteFile(filepath.Join(s.dir, "nats.conf"), []byte(natsConf), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, "redis.conf"), []byte(redisConf), 0o600)
}

// startRedis returns when the server has read its file and takes commands.
func (s *servers) startRedis() (err error) {
	s.redis, err = start(exec.Command(s.rig.redis, filepath.Join(s.dir, "redis.conf")), filepath.Join(s.dir, "redis.log"))
	if err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + s.redisPort, MaxRetries: -1})
	defer func() { _ = client.Close() }()
	return until(30*time.Second, "redis takes commands", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return client.Ping(ctx).Err() == nil
	})
}

// healthy reports whether NATS says of itself that it is: a stream that met
// the end of the disk takes nothing until the server is started again, and its
// health check says so.
func (s *servers) healthy() bool {
	client := http.Client{Timeout: 3 * time.Second}
	res, err := client.Get("http://127.0.0.1:" + s.monitorPort + "/healthz")
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

func (s *servers) startNATS() (err error) {
	s.nats, err = start(exec.Command(s.rig.program("nats-server"), "-c", filepath.Join(s.dir, "nats.conf")), filepath.Join(s.dir, "nats.log"))
	if err != nil {
		return err
	}
	return until(30*time.Second, "nats-server takes connections", func() bool {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+s.natsPort, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}
