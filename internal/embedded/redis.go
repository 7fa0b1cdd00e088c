package embedded

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
)

// RedisConfig says how the embedded Redis-compatible server runs.
type RedisConfig struct {
	// Listen is a loopback address. Default: 127.0.0.1 and any free port.
	Listen string
	// Password, if set, is asked of everybody who connects.
	Password string
	// Driven servers leave time to their clients: their clock stands still
	// but for SetTime, which the clients of Client call before every command
	// with the time they see themselves. Inside a synctest bubble, that is the
	// bubble's. Default: the wall clock.
	Driven bool
}

// Redis is a server in this process that speaks Redis' protocol and runs the
// same Lua. What it holds is gone when it is closed.
type Redis struct {
	server   *miniredis.Miniredis
	password string
	driven   bool

	mu    sync.Mutex
	now   time.Time // of a driven server
	skew  time.Duration
	swept time.Time // expiry has been applied up to here

	stop chan struct{}
	done sync.WaitGroup
	once sync.Once
}

// sweepEvery is how often lapsed keys are dropped. The server stands still for
// that and looks through all its keys, 120 ms for 200,000 of them, and nothing
// of ours depends on a key going on time.
const sweepEvery = time.Minute

// StartRedis starts the server and returns once it takes connections.
func StartRedis(cfg RedisConfig) (*Redis, error) {
	listen := cfg.Listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	r := &Redis{server: miniredis.NewMiniRedis(), password: cfg.Password, driven: cfg.Driven, stop: make(chan struct{})}
	if cfg.Password != "" {
		r.server.RequireAuth(cfg.Password)
	}
	if err := r.server.StartAddr(listen); errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is already in use: stop what listens there, or use port 0 for any free one", listen)
	} else if err != nil {
		return nil, fmt.Errorf("starting the embedded Redis on %s: %w", listen, err)
	}
	r.introduce()
	if cfg.Driven {
		r.SetTime(time.Now())
		return r, nil
	}
	r.done.Go(r.sweep)
	return r, nil
}

// introduce answers what ConnectRedis asks every server: which version it is
// like, and what it does when memory runs out.
func (r *Redis) introduce() {
	answers := map[string]string{
		"server": "# Server\r\nredis_version:" + oldestRedis.String() + "\r\n",
		"memory": "# Memory\r\nmaxmemory_policy:noeviction\r\n",
	}
	r.server.Server().SetPreHook(func(c *server.Peer, cmd string, args ...string) bool {
		if cmd != "INFO" || len(args) != 1 {
			return false
		}
		text, ok := answers[strings.ToLower(args[0])]
		if ok {
			c.WriteBulk(text)
		}
		return ok
	})
}

// sweep lets keys expire. The server counts a key's time down only when told
// so; counting it down before every command costs more than the command.
func (r *Redis) sweep() {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-r.stop:
			return
		case now := <-ticker.C:
			r.server.FastForward(now.Sub(last))
			last = now
		}
	}
}

// SetTime sets the clock of a driven server: what TIME returns to clients and
// scripts. Keys that lapsed on the way are gone within a minute of that
// clock. Time may go back, as a real server's can.
func (r *Redis) SetTime(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now = now.Add(r.skew)
	if now.Equal(r.now) {
		return
	}
	r.now = now
	r.server.SetTime(now)
	if r.swept.IsZero() || now.Before(r.swept) {
		r.swept = now
	}
	if d := now.Sub(r.swept); d >= sweepEvery {
		r.server.FastForward(sweepEvery) // not d: a key may have been set a moment ago
		r.swept = now
	}
}

// Skew has the clock of a driven server run ahead of its clients' from now on,
// or behind.
func (r *Redis) Skew(ahead time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.skew = ahead
}

// Client opens a client with the options that ConnectRedis uses. The caller
// closes it.
func (r *Redis) Client() *redis.Client {
	opts := &redis.UniversalOptions{Addrs: []string{r.Addr()}, Password: r.password}
	steady(opts)
	client := redis.NewClient(opts.Simple())
	if r.driven {
		client.AddHook(timekeeper{r})
	}
	return client
}

// Flush forgets everything, as a failover or a FLUSHALL would.
func (r *Redis) Flush() { r.server.FlushAll() }

// Addr is the host and port the server listens on.
func (r *Redis) Addr() string { return r.server.Addr() }

// URL is where clients connect, with the password if there is one.
func (r *Redis) URL() string {
	u := url.URL{Scheme: "redis", Host: r.Addr()}
	if r.password != "" {
		u.User = url.UserPassword("", r.password)
	}
	return u.String()
}

// Close stops the server and waits for its goroutines.
func (r *Redis) Close() {
	r.once.Do(func() {
		close(r.stop)
		r.done.Wait()
		r.server.Close()
	})
}
