package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Session is a connection to a tool server.
type Session interface {
	// List asks what tools there are.
	List(ctx context.Context) ([]Spec, error)

	// Call runs a tool and returns its text. *Refused is the tool's own error.
	Call(ctx context.Context, tool string, arguments json.RawMessage) (string, error)

	// Done is closed when the connection has ended.
	Done() <-chan struct{}

	// Close ends the connection, and the server if it is a command, and waits
	// for both.
	Close()
}

// Spec is what a server says of a tool.
type Spec struct {
	Name, About string
	Schema      json.RawMessage // of its arguments
}

// Refused is a tool's own error: it ran, or would not.
type Refused struct{ Text string }

func (r *Refused) Error() string { return r.Text }

// Away says that a server cannot be reached, and when to try again.
type Away struct {
	Server string
	Wait   time.Duration
	Err    error // why, from the last try
}

func (a *Away) Error() string {
	return fmt.Sprintf("the tool server %s is away, and tried again now and then: %v", a.Server, a.Err)
}

func (a *Away) Unwrap() error { return a.Err }
