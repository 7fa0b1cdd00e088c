package lua

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed driver.lua
var driver string

// Module is the Lua of one guard; see the package documentation for its form.
type Module struct {
	Name   string
	Source string
}

// Keyspace names keys so that all of them share one slot of a Redis Cluster.
type Keyspace string

// Key joins the parts behind the keyspace's hash tag: {drover}:breaker:small.
func (k Keyspace) Key(parts ...string) string {
	return "{" + string(k) + "}:" + strings.Join(parts, ":")
}

// Op is one operation.
type Op struct {
	Kind  Kind
	Call  string        // of all but a Beat
	Lease time.Duration // of an Enter, a Restore and a Beat
	Steps []Step        // of all but a Beat, checked and applied in order
	Calls []string      // of a Beat
}

// Kind is the kind of an operation.
type Kind string

// The kinds of operation. Restore is an Enter of a call that is on its way
// already and that the shared state has lost; it works while the sums are
// missing, too. Due asks of an admitted call how long it still waits: what was
// promised may have been put off.
const (
	Enter   Kind = "E"
	Restore Kind = "R"
	Leave   Kind = "L"
	Due     Kind = "D"
	Beat    Kind = "B"
)

// Reply is the answer to one operation. With none of Refused, NoEpoch, Left and
// Fault set, the operation was done.
type Reply struct {
	Wait time.Duration // until an admitted call may start, or a refused one ask again

	Refused bool
	Module  string // who refused
	Why     string
	Final   bool   // waiting does not help
	Tag     string // what sort of refusal, in the module's own words

	Left    bool     // the call has left already (or lapsed, for an Enter)
	NoEpoch bool     // the shared state has lost its sums; nothing was done
	Fault   string   // what failed in a module: a bug, asking again is no use
	Lapsed  []string // of a Beat: calls that are no longer alive
}

// Script is a set of modules put together.
type Script struct {
	keys   Keyspace
	common []string // KEYS that every group has
	script *redis.Script
}

// prelude is what every module can rely on. Times are printed once, since a
// group has the same ones again and again; smaller numbers are not kept, since
// the embedded server's Lua would make an array as long as they are large.
const prelude = `local printed = {}
local function int(n)
  if n < 1e9 then return string.format('%.0f', n) end
  local s = printed[n]
  if not s then
    s = string.format('%.0f', n)
    printed[n] = s
  end
  return s
end
local M = {}
`

// Compose puts the modules together into one script over the keyspace.
func Compose(keys Keyspace, modules ...Module) *Script {
	var b strings.Builder
	b.WriteString(Trust + prelude)
	for _, m := range modules {
		fmt.Fprintf(&b, "M['%s'] = (function()\n%s\nend)()\n", m.Name, m.Source)
	}
	b.WriteString(driver)
	s := &Script{keys: keys, script: redis.NewScript(b.String())}
	for _, name := range []string{"epoch", "calls", "records", "lapsed", "turn", "left:0", "left:1", "booked"} {
		s.common = append(s.common, keys.Key(name))
	}
	return s
}

// Keys returns the keyspace the script works in.
func (s *Script) Keys() Keyspace { return s.keys }

// Run runs the operations in order, in one round trip, and returns one reply
// for each. An error means that nothing is known of any of them; running the
// same operations again is safe.
func (s *Script) Run(ctx context.Context, rdb redis.Scripter, ops []Op) ([]Reply, error) {
	keys, args := s.encode(ops)
	raw, err := s.script.Run(ctx, rdb, keys, args...).Slice()
	if err != nil {
		return nil, fmt.Errorf("running the gate's script: %w", err)
	}
	if len(raw) != len(ops) {
		return nil, fmt.Errorf("running the gate's script: %d replies to %d operations", len(raw), len(ops))
	}
	replies := make([]Reply, len(raw))
	for i, r := range raw {
		if replies[i], err = decode(r); err != nil {
			return nil, fmt.Errorf("reading the gate's reply %d: %w", i+1, err)
		}
	}
	return replies, nil
}

// Alive tells which of the calls are in flight: they have entered, and their
// lease has been renewed since. Calls that the shared state has lost are not.
func (s *Script) Alive(ctx context.Context, rdb redis.Cmdable, calls []string) (map[string]bool, error) {
	alive := make(map[string]bool, len(calls))
	for len(calls) > 0 {
		n := min(len(calls), 1000)
		scores, err := rdb.ZMScore(ctx, s.keys.Key("calls"), calls[:n]...).Result()
		if err != nil {
			return nil, fmt.Errorf("asking which calls are in flight: %w", err)
		}
		for i, score := range scores {
			alive[calls[i]] = score > 0
		}
		calls = calls[n:]
	}
	return alive, nil
}
