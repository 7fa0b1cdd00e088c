package pool

import "sync"

// crew runs functions side by side, in goroutines that are used again: what
// handles a job needs a deep stack, which a new goroutine would have to grow.
// There are never more goroutines than functions ran at once.
type crew struct {
	work    chan func()
	members sync.WaitGroup
}

func newCrew() *crew { return &crew{work: make(chan func())} }

// run does not block.
func (c *crew) run(f func()) {
	select {
	case c.work <- f:
	default:
		c.members.Go(func() {
			f()
			for f := range c.work {
				f()
			}
		})
	}
}

// dismiss ends the goroutines once they have nothing to do. Nothing can be run
// after that.
func (c *crew) dismiss() { close(c.work) }

// wait blocks until all have ended.
func (c *crew) wait() { c.members.Wait() }
