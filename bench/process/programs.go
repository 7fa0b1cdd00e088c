package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ErrMissing says that this machine lacks what is needed.
var ErrMissing = errors.New("skipped")

// Programs are what a fleet is made of.
type Programs struct {
	bin   string
	redis string
}

// Build builds what is ours and NATS into the folder, and looks for Redis.
// Without one the error is ErrMissing.
func Build(ctx context.Context, dir string) (*Programs, error) {
	name := cmp.Or(os.Getenv("REDIS_SERVER"), "redis-server")
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("%w: there is no %s on the PATH; install it, or name it in $REDIS_SERVER", ErrMissing, name)
	}
	bin := filepath.Join(dir, "bin") + string(filepath.Separator)
	if err := os.MkdirAll(bin, 0o700); err != nil {
		return nil, err
	}
	const module = "github.com/drover-batch/drover/"
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, module+"cmd/worker", module+"cmd/enqueue", "github.com/nats-io/nats-server/v2")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the programs: %w: %s", err, out)
	}
	return &Programs{bin: bin, redis: path}, nil
}

// Path is where worker, enqueue, nats-server or redis-server is.
func (p *Programs) Path(name string) string {
	if name == "redis-server" {
		return p.redis
	}
	return filepath.Join(p.bin, name)
}
