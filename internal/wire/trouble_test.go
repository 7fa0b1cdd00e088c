package wire

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// dying kills the first worker that says this to the broker: just before it
// has said it, or just after.
func dying(words string, after bool) changing {
	return func(w *world) change {
		var done atomic.Bool
		return change{says: func(l *link, p []byte) []byte {
			i := bytes.Index(p, []byte(words))
			if l.isCut() {
				return nil
			}
			if i < 0 || !done.CompareAndSwap(false, true) {
				return p
			}
			if after {
				i += len(words) + len("\r\n")
			} else {
				i = bytes.LastIndex(p[:i], []byte("PUB "))
				if i > 0 && p[i-1] == 'H' {
					i--
				}
			}
			l.die()
			go w.kill(l.name)
			return p[:i]
		}}
	}
}

var errLost = &net.OpError{Op: "read", Net: "tcp", Err: errors.New("i/o timeout")}

// isOperation reports whether a command is the gate's script with an
// operation of this kind: "E", "L" or "B".
func isOperation(c redis.Cmder, kind string) bool {
	return (c.Name() == "eval" || c.Name() == "evalsha") && slices.ContainsFunc(c.Args(), func(a any) bool { return a == kind })
}

// unheard loses the replies to scripts with an operation of this kind, after
// they ran: every other time, until so many are lost.
func unheard(kind string, times int64) changing {
	return func(w *world) change {
		var ran atomic.Int64
		return change{redis: func(ctx context.Context, c redis.Cmder, run redisCall) error {
			err := run(ctx, c)
			if err == nil && isOperation(c, kind) {
				if n := ran.Add(1); n%2 == 1 && n < 2*times {
					return errLost
				}
			}
			return err
		}}
	}
}

// slowRedis has every script wait before it runs.
func slowRedis(d time.Duration) changing {
	return func(*world) change {
		return change{redis: func(ctx context.Context, c redis.Cmder, run redisCall) error {
			if c.Name() == "evalsha" {
				time.Sleep(d)
			}
			return run(ctx, c)
		}}
	}
}

// unconfirmed loses the broker's replies to the first few outcomes that it
// stores.
func unconfirmed(times int64) changing {
	return func(*world) change {
		var lost atomic.Int64
		return change{hears: func(_ *link, p []byte) {
			for at := 0; ; {
				i := bytes.Index(p[at:], []byte(`{"stream":"DROVER_OUTCOMES"`))
				if i < 0 {
					return
				}
				at += i + 1
				line := bytes.LastIndex(p[:at], []byte("MSG _INBOX."))
				if line < 0 || lost.Add(1) > times {
					continue
				}
				inbox := line + len("MSG ") + bytes.IndexByte(p[line+len("MSG "):], ' ')
				p[inbox-1] = '~' // nobody waits there
			}
		}}
	}
}
