package process

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// NATS starts a nats-server and returns, when it takes clients, where. Its
// configuration has to take a port from the system, and to name dir as its
// ports_file_dir.
func (cs *Children) NATS(p *Programs, name, dir, config, logFile string) (*Child, string, error) {
	file := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, "", err
	}
	proc, err := cs.Start(name, exec.Command(p.Path("nats-server"), "-c", file), logFile)
	if err != nil {
		return nil, "", err
	}
	ports, addr := filepath.Join(dir, fmt.Sprintf("nats-server_%d.ports", proc.cmd.Process.Pid)), ""
	err = Until(20*time.Second, name+" takes connections", func() bool {
		addr = clientPort(ports)
		return addr != "" && listens(addr)
	})
	return proc, addr, err
}

func listens(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

// clientPort reads what the server wrote of its ports, "" if it has not yet.
func clientPort(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	var ports struct{ NATS []string }
	if json.Unmarshal(data, &ports) != nil || len(ports.NATS) == 0 {
		return ""
	}
	return strings.TrimPrefix(ports.NATS[0], "nats://")
}

// Redis starts a redis-server with the configuration in a file, and returns
// when it has read its data and takes the client's commands.
func (cs *Children) Redis(p *Programs, file, logFile string, client *redis.Client) (*Child, error) {
	proc, err := cs.Start("redis", exec.Command(p.Path("redis-server"), file), logFile)
	if err != nil {
		return nil, err
	}
	return proc, Until(20*time.Second, "redis takes commands", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return client.Ping(ctx).Err() == nil
	})
}
