package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/drover-batch/drover/jobs"
)

const (
	startWithin = 30 * time.Second
	firstPause  = time.Second // before a server that ended is started again; doubled each time
	lastPause   = time.Minute
	steady      = time.Minute // a server that lived so long has begun anew
)

// server is one tool server, started when it is needed.
type server struct {
	name  string
	cfg   Server
	dial  func(context.Context, string, Server, func(string)) (Session, error)
	turns func(ctx context.Context, server string, perMinute int, longest time.Duration) error
	note  func(string)

	slots chan struct{}   // calls that run
	life  context.Context // ends with close
	end   context.CancelFunc
	turn  chan struct{} // held by whoever starts it

	mu       sync.Mutex
	session  Session
	specs    []Spec // of the newest session
	since    time.Time
	failures int // in a row
	again    time.Time
	why      error
}

func newServer(name string, s Server, c Config) *server {
	if s.Timeout <= 0 {
		s.Timeout = 30 * time.Second
	}
	if s.MaxResult <= 0 {
		s.MaxResult = 64 << 10
	}
	if s.Concurrent <= 0 {
		s.Concurrent = 8
	}
	turns := c.Turn
	if turns == nil {
		turns = alone(s.PerMinute)
	}
	life, end := context.WithCancel(context.Background())
	return &server{
		name: name, cfg: s, dial: c.Dial, turns: turns, note: func(what string) { c.Note(name, what) },
		slots: make(chan struct{}, s.Concurrent), life: life, end: end, turn: make(chan struct{}, 1),
	}
}

// alone keeps the pace of one process.
func alone(perMinute int) func(context.Context, string, int, time.Duration) error {
	pace := rate.NewLimiter(rate.Limit(float64(perMinute)/60), max(1, perMinute/60))
	return func(ctx context.Context, _ string, _ int, _ time.Duration) error {
		if pace.Wait(ctx) != nil {
			return jobs.ErrNoTurn
		}
		return nil
	}
}

func (s *server) close() {
	s.end()
	s.turn <- struct{}{} // and nobody starts it again
	s.mu.Lock()
	session := s.session
	s.mu.Unlock()
	if session != nil {
		session.Close()
	}
}

// tools lists what the server has. While it is away, the newest list that is
// known serves.
func (s *server) tools(ctx context.Context) ([]Spec, error) {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	_, err := s.reach(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && s.specs == nil {
		return nil, err
	}
	return s.specs, nil
}

// tool is one of the server's.
func (s *server) tool(spec Spec) *tool {
	return &tool{
		Tool: jobs.Tool{Description: limit(clean(spec.About), 4<<10), Schema: spec.Schema},
		most: s.cfg.PerJob, size: s.cfg.MaxResult,
		run: func(ctx context.Context, _ *jobs.Document, arguments json.RawMessage) (string, error) {
			return s.call(ctx, spec.Name, arguments)
		},
	}
}

// call runs a tool once, as soon as the server's limits and its restart allow,
// within its timeout. What was sent is never sent again: it may have had
// effects.
func (s *server) call(ctx context.Context, tool string, arguments json.RawMessage) (string, error) {
	late := fmt.Errorf("%s.%s did not answer within %v", s.name, tool, s.cfg.Timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.Timeout, late)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	if err := s.await(ctx); err != nil {
		return "", err
	}
	session, err := s.patiently(ctx)
	if err != nil {
		return "", err
	}
	text, err := session.Call(ctx, tool, arguments)
	if _, refused := errors.AsType[*Refused](err); err == nil || refused {
		return text, err
	}
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case isClosed(session):
		return "", fmt.Errorf("the tool server %s ended during the call", s.name)
	}
	return "", fmt.Errorf("%s.%s failed: %w", s.name, tool, err)
}

// await waits until the server may be called.
func (s *server) await(ctx context.Context) error {
	if s.cfg.PerMinute == 0 {
		return nil
	}
	err := s.turns(ctx, s.name, s.cfg.PerMinute, s.cfg.Timeout)
	if errors.Is(err, jobs.ErrNoTurn) {
		return fmt.Errorf("%s may be called %s a minute: wait, or go on without", s.name, jobs.Counted(s.cfg.PerMinute, "time"))
	}
	return err
}

// patiently waits for a server that is away.
func (s *server) patiently(ctx context.Context) (Session, error) {
	for {
		session, err := s.reach(ctx)
		away, ok := errors.AsType[*Away](err)
		if !ok {
			return session, err
		}
		if end, has := ctx.Deadline(); has && time.Until(end) <= away.Wait {
			return nil, away
		}
		t := time.NewTimer(away.Wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, context.Cause(ctx)
		}
	}
}

// reach returns a live session, making one if it may. *Away if it may not yet.
func (s *server) reach(ctx context.Context) (Session, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-s.life.Done():
		return nil, fmt.Errorf("the tool server %s was ended: this worker stops", s.name)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if session := s.living(); session != nil {
		return session, nil
	}
	s.mu.Lock()
	wait, why := time.Until(s.again), s.why
	s.mu.Unlock()
	if wait > 0 {
		return nil, &Away{s.name, wait, why}
	}
	session, specs, err := s.start()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failed(err)
		return nil, &Away{s.name, time.Until(s.again), err}
	}
	s.session, s.specs, s.since = session, specs, time.Now()
	return session, nil
}

// living is the session if it has not ended, and notes the end if it has.
func (s *server) living() Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.session == nil:
		return nil
	case !isClosed(s.session):
		return s.session
	case time.Since(s.since) >= steady:
		s.failures = 0 // and is started again at once
	default:
		s.failed(errors.New("it ended"))
	}
	s.session = nil
	s.note("ended")
	return nil
}

// failed makes the next start wait, longer each time.
func (s *server) failed(err error) {
	s.failures++
	s.why = err
	s.again = time.Now().Add(min(lastPause, firstPause<<min(s.failures-1, 10)))
}

// start connects and asks what tools there are. Whoever wanted it may go away
// meanwhile: the next will want it too.
func (s *server) start() (Session, []Spec, error) {
	ctx, cancel := context.WithTimeoutCause(s.life, startWithin, fmt.Errorf("it did not answer within %v", startWithin))
	defer cancel()
	session, err := s.dial(ctx, s.name, s.cfg, s.note)
	if err != nil {
		return nil, nil, told(ctx, err)
	}
	specs, err := session.List(ctx)
	if err != nil {
		session.Close()
		return nil, nil, told(ctx, fmt.Errorf("asking for its tools: %w", err))
	}
	s.note(fmt.Sprintf("started, with %s", jobs.Counted(len(specs), "tool")))
	return session, specs, nil
}

// mostWhy bounds what is told of a server that cannot be reached: it may be in
// the server's own words.
const mostWhy = 500

func told(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.New(limit(clean(err.Error()), mostWhy))
}

func isClosed(s Session) bool {
	select {
	case <-s.Done():
		return true
	default:
		return false
	}
}
