package resilience

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/lua"
)

// tries is how often a group is sent before its callers are told that Redis
// cannot be reached. Sending again is safe: every operation is idempotent.
const tries = 3

// entry is one operation on its way.
type entry struct {
	op     lua.Op
	answer func(lua.Reply, error) // called once, by a goroutine that must not block

	dropped bool // under committer.mu: nobody wants to know any more
	owed    bool // under Gate.mu: Redis could not be told at first
}

// lanes is how many full groups may be on their way beside the first one. They
// share its sync where every script is synced.
const lanes = 3

// committer sends operations in groups: while one group is on its way, all
// that arrive wait for the next, unless they make a full one. A lone operation
// is sent at once; crowds linger for a moment.
type committer struct {
	run     func(context.Context, []lua.Op) ([]lua.Reply, error)
	limit   int           // most operations of a group
	wait    time.Duration // most time for one try
	reached func(bool)    // told of every group whether Redis was; may be nil

	// crowd tells how many calls are in flight and how long one takes; nil if
	// nothing is to linger.
	crowd func() (calls int, took time.Duration)

	mu      sync.Mutex
	waiting []*entry
	busy    bool // with the groups that follow one another
	beside  int  // full groups on their way beside those
	tempo   tempo
	enough  int           // operations that end the lingering
	full    chan struct{} // holds a token when there are as many
	groups  sync.WaitGroup
}

// submit hands an operation over; it does not block.
func (c *committer) submit(entries ...*entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, entries...)
	switch {
	case !c.busy:
		c.busy = true
		c.groups.Go(c.commitAll)
	case c.enough > 0 && len(c.waiting) >= c.enough:
		c.enough = 0
		c.full <- struct{}{}
	case c.beside < lanes && len(c.waiting) >= c.limit:
		c.beside++
		c.groups.Go(c.commitFull)
	}
}

// drop takes an operation back. Unless it is on its way already it is never
// sent, and not answered.
func (c *committer) drop(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.dropped = true
}

func (c *committer) commitAll() {
	for {
		c.linger()
		group := c.take()
		if group == nil {
			return
		}
		c.commit(group)
	}
}

// commitFull sends full groups for as long as there are any.
func (c *committer) commitFull() {
	for {
		c.mu.Lock()
		var group []*entry
		if len(c.waiting) >= c.limit {
			group = c.next()
		}
		if len(group) == 0 {
			c.beside--
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		c.commit(group)
	}
}

// take takes the next group of those that follow one another, nil if there is
// nothing to send.
func (c *committer) take() []*entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.enough = 0
	select {
	case <-c.full:
	default:
	}
	group := c.next()
	c.busy = group != nil
	return group
}

// next takes a group off those that wait. The caller has the lock.
func (c *committer) next() []*entry {
	var group []*entry
	n := 0
	for ; n < len(c.waiting) && len(group) < c.limit; n++ {
		if e := c.waiting[n]; !e.dropped {
			group = append(group, e)
		}
	}
	if n == len(c.waiting) {
		c.waiting = nil
	} else {
		c.waiting = c.waiting[n:]
	}
	c.tempo.count(len(group))
	return group
}

// commit sends a group until there is an answer, and hands it out.
func (c *committer) commit(group []*entry) {
	replies, err := c.send(group)
	if c.reached != nil {
		c.reached(err == nil || answered(err))
	}
	for i, e := range group {
		switch {
		case err != nil:
			e.answer(lua.Reply{}, err)
		case replies[i].Fault != "":
			e.answer(lua.Reply{}, fault(replies[i].Fault))
		default:
			e.answer(replies[i], nil)
		}
	}
}

// send tries until there are replies. Of several errors it returns the one
// that leaves most in doubt.
func (c *committer) send(group []*entry) ([]lua.Reply, error) {
	ops := make([]lua.Op, len(group))
	for i, e := range group {
		ops[i] = e.op
	}
	var failed error
	for try := range tries {
		if try > 0 {
			<-time.After(50 * time.Millisecond << try)
		}
		ctx, cancel := context.WithTimeout(context.Background(), c.wait)
		replies, err := c.run(ctx, ops)
		cancel()
		if err == nil {
			return replies, nil
		}
		if failed == nil || unsent(failed) {
			failed = err
		}
	}
	return nil, failed
}

// unsent reports whether the error says that there was not even a connection,
// so that nothing can have been done.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// answered reports whether the error is Redis's own word. One that still loads
// its data is as good as away.
func answered(err error) bool {
	var word redis.Error
	return errors.As(err, &word) && !redis.HasErrorPrefix(err, "LOADING")
}

// fault is a failure of a guard's own script: asking again is no use.
type fault string

func (f fault) Error() string { return "a guard failed: " + string(f) }
