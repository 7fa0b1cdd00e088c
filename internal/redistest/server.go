package redistest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/ports"
)

// Server is a server of a test's own.
type Server struct {
	Addr string // its socket, or host:port

	path, dir string
	password  string
	args      []string
	cmd       *exec.Cmd
	drained   chan struct{}
}

// Restart kills the server and starts it again with what it had on disk.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Kill()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// Kill ends the server as kill -9 does.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.drained
	_ = s.cmd.Wait()
}

// start waits for the server's word that it is ready.
func (s *Server) start() error {
	s.cmd = exec.Command(s.path, s.args...)
	s.cmd.Dir = s.dir
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	lines, said, ready := bufio.NewScanner(out), "", false
	for !ready && lines.Scan() {
		said += lines.Text() + "\n"
		ready = strings.Contains(lines.Text(), "eady to accept") || strings.Contains(lines.Text(), "Sentinel ID is")
	}
	s.drained = make(chan struct{})
	go func() {
		defer close(s.drained)
		for lines.Scan() {
		}
	}()
	if !ready {
		s.Kill()
		return fmt.Errorf("%s ended:\n%s", s.path, said)
	}
	return nil
}

// listen starts a server on a port of this machine, in a folder of its own.
// door is the argument that names the port; others may name files in that folder.
func listen(path, dir, door string, args ...string) (*Server, error) {
	var err error
	for range 5 { // somebody else may take the port first
		var port string
		if port, err = ports.Free(); err != nil {
			return nil, err
		}
		s := &Server{Addr: "127.0.0.1:" + port, path: path, dir: dir}
		s.args = append(append([]string{}, args...), door, port, "--bind", "127.0.0.1", "--save", "")
		if err = os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		if err = s.start(); err == nil {
			return s, nil
		}
	}
	return nil, err
}

// StartTLS starts a server that speaks TLS alone, and only to those whose
// certificate it trusts. The files are in PEM; ca signed all certificates.
func StartTLS(t testing.TB, ca, cert, key string) *Server {
	t.Helper()
	s, err := listen(program(t, "redis-server"), t.TempDir(), "--tls-port", "--port", "0",
		"--tls-ca-cert-file", ca, "--tls-cert-file", cert, "--tls-key-file", key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

// Seclude ends the server's replication: what it is told from now on, it alone
// knows.
func (s *Server) Seclude(t testing.TB) {
	t.Helper()
	err := s.do(func(ctx context.Context, node *redis.Client) error {
		if err := node.Do(ctx, "acl", "setuser", "default", "-psync", "-sync").Err(); err != nil {
			return err
		}
		return node.Do(ctx, "client", "kill", "type", "replica").Err()
	})
	if err != nil {
		t.Fatal(err)
	}
}
