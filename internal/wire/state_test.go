package wire

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/embedded"
	"github.com/drover-batch/drover/internal/redistest"
)

// state is the Redis of a world.
type state interface {
	Client() redis.UniversalClient
	Flush()
	Skew(ahead time.Duration)
}

// driven is the embedded server, whose time is its clients'.
type driven struct{ *embedded.Redis }

// Client implements state.
func (d driven) Client() redis.UniversalClient { return d.Redis.Client() }

// real is a real server, whose scripts are told the time of its clients.
type real struct {
	t    *testing.T
	addr string
}

// Client implements state.
func (r real) Client() redis.UniversalClient {
	rdb := redistest.Connect(r.addr)
	rdb.AddHook(redistest.Clock(time.Now))
	return rdb
}

// Flush implements state.
func (r real) Flush() {
	rdb := redistest.Connect(r.addr)
	defer func() { _ = rdb.Close() }()
	if err := rdb.FlushAll(context.Background()).Err(); err != nil {
		r.t.Error(err)
	}
}

// Skew implements state.
func (r real) Skew(time.Duration) { r.t.Error("the clock of a real Redis cannot be moved") }
