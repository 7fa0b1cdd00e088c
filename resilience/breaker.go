package resilience

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
)

//go:embed breaker.lua
var breakerSource string

// BreakerConfig says when circuits open and close.
type BreakerConfig struct {
	Keys lua.Keyspace // default "drover"

	Failures int           // in a row that open a circuit, default 5
	Recovery time.Duration // until an open circuit lets probes through, default 30s
	Probes   int           // in flight at most, and successes that close it, default 3

	// A circuit also opens when, of at least Volume results within the
	// Window, the Rate has failed. Defaults 60s, 20 and 0.5.
	Window time.Duration
	Volume int
	Rate   float64
}

// Breaker keeps the fleet from calling models that do not answer. There is a
// circuit for each model: closed, open after too many failures, half-open
// while a few probes find out whether the model is back.
//
// A circuit opens for the fleet only if most of the replicas that lately heard
// of the model heard nothing good. A replica that fails alone opens a circuit
// of its own, which stops nobody else.
type Breaker struct {
	config   BreakerConfig
	settings string // as breaker.lua reads them
	forms    forms[circuitReport]
}

// NewBreaker makes the guard of the circuits.
func NewBreaker(c BreakerConfig) *Breaker {
	c.Keys = cmp.Or(c.Keys, "drover")
	c.Failures = cmp.Or(c.Failures, 5)
	c.Recovery = cmp.Or(c.Recovery, 30*time.Second)
	c.Probes = cmp.Or(c.Probes, 3)
	c.Window = cmp.Or(c.Window, time.Minute)
	c.Volume = cmp.Or(c.Volume, 20)
	c.Rate = cmp.Or(c.Rate, 0.5)
	return &Breaker{config: c, settings: fmt.Sprint(c.Failures, c.Recovery.Microseconds(), c.Probes, c.Window.Microseconds(), c.Volume, 100*c.Rate)}
}

// Module is the breaker's part of the gate's script.
func (b *Breaker) Module() lua.Module {
	return lua.Module{Name: BreakerGuard, Source: breakerSource}
}

// Enter asks whether the model's circuit lets the call through.
func (b *Breaker) Enter(call *jobs.Call) lua.Step { return b.step(call, "") }

// due asks whether the circuit has opened while an admitted call waited.
func (b *Breaker) due(call *jobs.Call) lua.Step { return b.step(call, "") }

// Leave tells what the attempt says about the model.
func (b *Breaker) Leave(call *jobs.Call, a *jobs.Attempt) lua.Step {
	return b.step(call, a.Kind.Verdict())
}

// circuitReport is what the breaker is told of a call; most are told the same.
type circuitReport struct {
	model, worker string
	verdict       jobs.Verdict // "" of an Enter
}

func (b *Breaker) step(call *jobs.Call, v jobs.Verdict) lua.Step {
	t := circuitReport{call.Model.Name, call.Worker, v}
	return b.forms.of(t, func() *lua.Form {
		f := &lua.Form{Module: BreakerGuard, Keys: []string{circuitKey(b.config.Keys, t.model)}, Args: []string{t.worker, b.settings}}
		if v != "" {
			f.Args = append(f.Args, string(v))
		}
		return f
	}).Step()
}

func circuitKey(keys lua.Keyspace, model string) string { return keys.Key("circuit", model) }

// The states of a circuit.
const (
	Closed   = "closed"
	Open     = "open"
	HalfOpen = "half-open"
)

// Circuit is how a model's circuit stands for the fleet, for people to look at.
type Circuit struct {
	Model    string
	State    string
	Since    time.Time // zero if it never was anything but closed
	Until    time.Time // of an open one: when it lets probes through
	Failures int       // in a row

	Workers int // that heard of the model in the last minute
	Apart   int // those of them whose own circuit is open while others are answered: look at their network
}

// Circuits tells how the circuits of the models stand, in the given order. keys
// is as in BreakerConfig. It blocks for one round trip to Redis.
func Circuits(ctx context.Context, rdb redis.Cmdable, keys lua.Keyspace, models ...string) ([]Circuit, error) {
	keys = cmp.Or(keys, "drover")
	answers := make([]*redis.MapStringStringCmd, len(models))
	var clock *redis.TimeCmd
	_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		clock = p.Time(ctx)
		for i, m := range models {
			answers[i] = p.HGetAll(ctx, circuitKey(keys, m))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the circuits: %w", err)
	}
	circuits := make([]Circuit, len(models))
	for i, m := range models {
		circuits[i] = parseCircuit(m, answers[i].Val(), clock.Val())
	}
	return circuits, nil
}

const fleetCircuit = "fleet" // beside those of the workers

func parseCircuit(model string, hash map[string]string, now time.Time) Circuit {
	fleet := parseCircuitOf(hash[fleetCircuit])
	c := Circuit{Model: model, State: Closed, Failures: int(fleet.failures)}
	if fleet.since > 0 {
		c.Since = time.UnixMicro(fleet.since)
	}
	switch {
	case fleet.state == 1 && now.Before(time.UnixMicro(fleet.until)):
		c.State, c.Until = Open, time.UnixMicro(fleet.until)
	case fleet.state > 0:
		c.State = HalfOpen
	}
	for worker, text := range hash {
		own := parseCircuitOf(text)
		if worker == fleetCircuit || now.Sub(time.UnixMicro(own.seen)) > time.Minute {
			continue
		}
		c.Workers++
		if own.state > 0 && own.since > fleet.since {
			c.Apart++
		}
	}
	return c
}

// circuitFields are those of breaker.lua's that are for people.
type circuitFields struct{ state, since, until, failures, seen int64 }

func parseCircuitOf(text string) circuitFields {
	var n [15]int64
	for i, s := range strings.Fields(text) {
		if i < len(n) {
			n[i], _ = strconv.ParseInt(s, 10, 64)
		}
	}
	return circuitFields{state: n[0], since: n[2], until: n[3], failures: n[4], seen: n[14]}
}
