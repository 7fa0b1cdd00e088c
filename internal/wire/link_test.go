package wire

import (
	"context"
	"errors"
	"hash/fnv"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/audit"
)

// link is all that ties a process to the world: its connection to the broker,
// its commands to Redis, its calls to the provider. Severed, none of them goes
// through any more, in either direction. Frozen, they wait. What passes is
// recognised as a step of the protocol, see step, and a trap may wait for it.
type link struct {
	w      *world
	member *member
	name   string
	cut    chan struct{} // closed when the process was killed

	dead  sync.Once
	mu    sync.Mutex
	wire  *wireConn
	thaw  chan struct{} // not nil while frozen; closed by the thaw
	traps []*trap
	slow  time.Duration // how much longer everything takes for now
	apart bool          // from Redis, which others may reach
	lost  bool          // no name is found, so no provider is reached
}

func newLink(w *world, m *member) *link {
	return &link{w: w, member: m, name: m.name, cut: make(chan struct{})}
}

var errSevered = errors.New("the process was killed")

func (l *link) isCut() bool {
	select {
	case <-l.cut:
		return true
	default:
		return false
	}
}

// die is the moment of death, in which connections are still open.
func (l *link) die() { l.dead.Do(func() { close(l.cut) }) }

func (l *link) sever() {
	l.die()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wire != nil {
		l.wire.tear()
	}
}

// freeze stops a process as SIGSTOP does, for a while.
func (w *world) freeze(name string, d time.Duration) {
	if m := w.names()[name]; m != nil {
		m.link.freeze(d)
	}
}

func (l *link) freeze(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.thaw != nil {
		return
	}
	l.w.note(audit.Fault{Kind: audit.Freeze, Worker: l.name, From: time.Now(), To: time.Now().Add(d)})
	thaw := make(chan struct{})
	l.thaw = thaw
	time.AfterFunc(d, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.thaw = nil
		close(thaw)
	})
}

func (l *link) frozen() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.thaw != nil
}

// drag makes everything on the link take longer for a while.
func (l *link) drag(more, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slow += more
	l.w.note(audit.Fault{Kind: audit.Network, Worker: l.name, From: time.Now(), To: time.Now().Add(d)})
	time.AfterFunc(d, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.slow -= more
	})
}

// takes is how long a message is on its way.
func (l *link) takes() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.latency + l.slow
}

func (l *link) dragged() time.Duration { return l.takes() - l.w.latency }

// lane is when in a microsecond messages arrive from or at the process: at one
// of five moments of its own, or the broker's timers, which begin at one, would
// end at another's.
func (l *link) lane(direction int) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(l.name))
	return time.Duration(h.Sum32()%97*10 + uint32(direction))
}

// drop breaks the connection to the broker.
func (l *link) drop() {
	l.w.note(audit.Fault{Kind: audit.Network, Worker: l.name, From: time.Now(), To: time.Now()})
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wire != nil {
		l.wire.tear()
	}
}

// pass waits while the process is frozen and fails once it is dead.
func (l *link) pass() error {
	l.mu.Lock()
	thaw := l.thaw
	l.mu.Unlock()
	if thaw != nil {
		select {
		case <-thaw:
		case <-l.cut:
		}
	}
	if l.isCut() {
		return errSevered
	}
	return nil
}

// Write implements io.Writer for the log of a process; one that was killed
// writes nothing any more.
func (l *link) Write(p []byte) (int, error) {
	if l.isCut() {
		return len(p), nil
	}
	return l.w.log.Write(p)
}

// InProcessConn implements nats.InProcessConnProvider. It does not wait for a
// thaw: the client has its lock.
func (l *link) InProcessConn() (net.Conn, error) {
	if l.isCut() || l.frozen() {
		return nil, errDown
	}
	c, err := l.w.broker.dial(l)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wire = c
	return c, nil
}

// RoundTrip implements http.RoundTripper.
func (l *link) RoundTrip(req *http.Request) (*http.Response, error) {
	time.Sleep(l.dragged())
	if lost := l.meet(before, called); lost {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	if err := l.pass(); err != nil {
		return nil, err
	}
	if l.isLost() {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: req.URL.Hostname(), IsNotFound: true}}
	}
	l.w.mu.Lock()
	told := req.Header.Get("Traceparent")
	l.w.told = append(l.w.told, told)
	l.w.mu.Unlock()
	if told != "" && !l.w.config.Traces.Propagate {
		return nil, errors.New("the provider is told of our traces")
	}
	if err := l.w.provider.tap(l.name, req); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	go func() {
		select {
		case <-l.cut:
		case <-req.Context().Done():
		}
		cancel(errSevered)
	}()
	res, err := l.w.provider.wires.RoundTrip(req.WithContext(ctx))
	lost := l.meet(after, called)
	if dead := l.pass(); dead != nil {
		return nil, dead
	}
	if lost {
		if err == nil {
			_ = res.Body.Close()
		}
		<-ctx.Done()
		return nil, req.Context().Err()
	}
	return res, err
}

// DialHook, ProcessHook and ProcessPipelineHook implement redis.Hook.
func (l *link) DialHook(next redis.DialHook) redis.DialHook { return next }

func (l *link) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if greets(cmd) {
			return next(ctx, cmd)
		}
		err := l.ask(ctx, redisSteps(cmd), func() error { return next(ctx, cmd) })
		if err != nil {
			cmd.SetErr(err)
		}
		return err
	}
}

func (l *link) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if greets(cmds[0]) {
			return next(ctx, cmds)
		}
		err := l.ask(ctx, []step{elsewhere}, func() error { return next(ctx, cmds) })
		if err != nil {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
		}
		return err
	}
}

// greets reports whether a command is a new connection's first. A greeting takes
// no time: of two who ask at one moment it is nobody's choice which has to open
// a connection.
func greets(cmd redis.Cmder) bool { return cmd.Name() == "hello" || cmd.Name() == "client" }

// ask puts something to Redis. Where the reply is lost, the client waits for
// it until its patience ends.
func (l *link) ask(ctx context.Context, steps []step, send func() error) error {
	time.Sleep(l.dragged())
	if len(steps) == 0 && l.w.latency > 0 {
		time.Sleep(l.w.latency) // a beat and what is done beside it have the same clock
	}
	lost := l.meet(before, steps...)
	if err := l.reach(); err != nil {
		return err
	}
	var err error
	if !lost {
		err = send()
		lost = l.meet(after, steps...)
	}
	time.Sleep(l.dragged())
	if dead := l.pass(); dead != nil {
		return dead
	}
	if lost && ctx.Done() != nil {
		<-ctx.Done()
		return &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
	}
	return err
}

// reach tells whether Redis can be reached.
func (l *link) reach() error {
	err := l.pass()
	if err == nil && (l.w.redisAway() || l.isApart()) {
		err = errDown
	}
	if err != nil {
		return &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	return nil
}

// part cuts the process off from Redis, or ends that.
func (l *link) part(apart bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.apart = apart
}

func (l *link) isApart() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.apart
}

// lose breaks the process's way to all providers, or mends it.
func (l *link) lose(lost bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = lost
}

func (l *link) isLost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}
