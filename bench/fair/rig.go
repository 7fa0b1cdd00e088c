package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/bench/process"
	"github.com/drover-batch/drover/internal/ports"
)

// rig is what all sections share.
type rig struct {
	out, notes io.Writer
	dir        string
	large      int // jobs of a large batch
	began      time.Time

	programs *process.Programs
	children process.Children
	servers  []*process.Child // NATS and Redis
	nats     string           // address
	redis    string           // URL
}

// open starts the servers.
func (r *rig) open(ctx context.Context) (err error) {
	r.say("building")
	if r.programs, err = process.Build(ctx, r.dir); err != nil {
		return err
	}
	nats, redisDir := filepath.Join(r.dir, "nats"), filepath.Join(r.dir, "redis")
	if err := errors.Join(os.Mkdir(nats, 0o700), os.Mkdir(redisDir, 0o700)); err != nil {
		return err
	}
	text := fmt.Sprintf("server_name: fair\nlisten: \"127.0.0.1:-1\"\nports_file_dir: %q\njetstream { store_dir: %q, sync_interval: always }\n", nats, filepath.Join(nats, "store"))
	server, at, err := r.children.NATS(r.programs, "nats", nats, text, r.logOf("nats"))
	if err != nil {
		return err
	}
	r.servers, r.nats = append(r.servers, server), at
	return r.openRedis(redisDir)
}

func (r *rig) openRedis(dir string) error {
	port, err := ports.Free()
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "redis.conf")
	text := fmt.Sprintf("bind 127.0.0.1\nport %s\ndir %s\nsave \"\"\nappendonly yes\nappendfsync always\nmaxmemory-policy noeviction\n", port, dir)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port, MaxRetries: -1})
	defer func() { _ = client.Close() }()
	r.redis = "redis://127.0.0.1:" + port
	server, err := r.children.Redis(r.programs, file, r.logOf("redis"), client)
	r.servers = append(r.servers, server)
	return err
}

func (r *rig) logOf(name string) string { return filepath.Join(r.dir, name+".log") }

func (r *rig) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.notes, "%6.1fs %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

// print writes a line of the result.
func (r *rig) print(format string, args ...any) { _, _ = fmt.Fprintf(r.out, format+"\n", args...) }
