//go:build !unix

package process

// Freeze leaves the child alone: no process is stopped from outside here.
func (c *Child) Freeze() {}

// Thaw is for those that are frozen.
func (c *Child) Thaw() {}
