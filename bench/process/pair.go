package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/ports"
)

// Pair starts a NATS and a Redis that sync every write, with data and logs in
// dir, and returns the address of the one and the URL of the other.
func (cs *Children) Pair(p *Programs, dir string) (nats, url string, err error) {
	natsDir, redisDir := filepath.Join(dir, "nats"), filepath.Join(dir, "redis")
	if err := errors.Join(os.Mkdir(natsDir, 0o700), os.Mkdir(redisDir, 0o700)); err != nil {
		return "", "", err
	}
	text := fmt.Sprintf("server_name: bench\nlisten: \"127.0.0.1:-1\"\nports_file_dir: %q\njetstream { store_dir: %q, sync_interval: always }\n",
		natsDir, filepath.Join(natsDir, "store"))
	if _, nats, err = cs.NATS(p, "nats", natsDir, text, filepath.Join(dir, "nats.log")); err != nil {
		return "", "", err
	}
	port, err := ports.Free()
	if err != nil {
		return "", "", err
	}
	file := filepath.Join(redisDir, "redis.conf")
	text = fmt.Sprintf("bind 127.0.0.1\nport %s\ndir %s\nsave \"\"\nappendonly yes\nappendfsync always\nmaxmemory-policy noeviction\n", port, redisDir)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", "", err
	}
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port, MaxRetries: -1})
	defer func() { _ = client.Close() }()
	_, err = cs.Redis(p, file, filepath.Join(dir, "redis.log"), client)
	return nats, "redis://127.0.0.1:" + port, err
}
