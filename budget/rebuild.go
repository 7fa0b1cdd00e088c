package budget

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
)

//go:embed rebuild.lua
var rebuildLua string

var rebuild = redis.NewScript(lua.Trust + rebuildLua)

const (
	// recent is how old a spend may be for its call's Leave still to be on
	// its way. Presumed ones are never too old: a frozen worker may settle
	// them whenever it thaws.
	recent = 2 * time.Hour

	// ownership is how long a replica that rebuilds may go without a sign of
	// life; others look again after every patience.
	ownership = 30 * time.Second
	patience  = 200 * time.Millisecond
)

// Records is what is kept elsewhere of every call, for a rebuilding.
type Records struct {
	// InFlight returns the calls that may be on their way, at their worst case.
	// No other call may be made that entered before it returns. Default none.
	InFlight func(context.Context) ([]jobs.Spend, error)

	// Book yields what all other calls did cost, each once. It is read after
	// InFlight, and what both have counts as the book has it.
	Book iter.Seq2[jobs.Spend, error]

	// Limits returns what SetLimit is to have set, by account. Whoever sets a
	// limit writes it there first. Default: what the shared state has stays.
	Limits func(context.Context) (map[string]jobs.USD, error)
}

// Rebuild fills all sums from the records, those of budgets that only other
// replicas have among them, and opens the gate; while the gate is
// open it does nothing. Calls in flight are held again. Holds that the shared
// state still has are kept, except for calls that are in the book. One replica
// rebuilds at a time; the others wait here, so that the gate is open whenever
// Rebuild returns without an error.
func (l *Ledger) Rebuild(ctx context.Context, rdb redis.UniversalClient, script *lua.Script, records Records) error {
	r := &rebuilding{l: l, rdb: rdb, script: script, owner: rand.Text()}
	defer r.release(ctx)
	for {
		switch state, err := r.own(ctx); {
		case err != nil:
			return err
		case state == "open":
			return nil
		case state == "done":
			state, err := r.fill(ctx, records)
			if err != nil || state != "busy" {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for another replica to rebuild the budgets' sums: %w", context.Cause(ctx))
		case <-time.After(patience):
		}
	}
}

// rebuilding is one attempt to refill the sums.
type rebuilding struct {
	l      *Ledger
	rdb    redis.UniversalClient
	script *lua.Script
	owner  string

	holds map[string]*hold // of calls that the shared state still knows, by call
	sums  map[string]*draft
	left  []string // calls whose Leave must change nothing any more
	drop  []string // holds of calls that are in the book
}

func (r *rebuilding) run(ctx context.Context, args ...any) (string, error) {
	l := r.l
	keys := []string{r.script.Keys().Key("epoch"), l.owner, l.accounts, l.live, l.lapsed, l.counted}
	state, err := rebuild.Run(ctx, r.rdb, keys, args...).Text()
	if err != nil {
		return "", fmt.Errorf("rebuilding the budgets' sums: %w", err)
	}
	return state, nil
}

// own makes this replica the one that rebuilds, or keeps it so.
func (r *rebuilding) own(ctx context.Context) (string, error) {
	return r.run(ctx, "own", r.owner, ownership.Microseconds())
}

// release lets the next replica try at once if this one has failed; if it
// cannot, the ownership ends by itself.
func (r *rebuilding) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = r.run(ctx, "release", r.owner)
}

func (r *rebuilding) fill(ctx context.Context, records Records) (string, error) {
	epoch, err := r.script.NewEpoch(ctx, r.rdb)
	if err != nil {
		return "", err
	}
	if r.l, err = r.l.counting(ctx, r.rdb); err != nil {
		return "", err
	}
	if err := r.restore(ctx, records.InFlight); err != nil {
		return "", err
	}
	if err := r.readHolds(ctx); err != nil {
		return "", err
	}
	if state, err := r.readBook(ctx, records.Book); err != nil || state != "done" {
		return state, err
	}
	for _, h := range r.holds {
		r.keep(h)
	}
	if err := r.l.setLimits(ctx, r.rdb, records.Limits); err != nil {
		return "", err
	}
	args := append([]any{"fill", r.owner, len(r.drop) / 2}, anys(r.drop)...)
	args = append(append(args, len(r.l.budgets)), anys(r.l.identities())...)
	for _, key := range slices.Sorted(maps.Keys(r.sums)) {
		fields, err := r.sums[key].encode()
		if err != nil {
			return "", fmt.Errorf("encoding the sums of %s: %w", key, err)
		}
		args = append(args, key, fields)
	}
	if state, err := r.run(ctx, args...); err != nil || state != "done" {
		return state, err
	}
	return "open", r.script.Open(ctx, r.rdb, epoch, r.left)
}

// setLimits makes the limits in the shared state those on record. One that is
// set meanwhile is written to both, so it looks until nothing changes.
func (l *Ledger) setLimits(ctx context.Context, rdb redis.UniversalClient, onRecord func(context.Context) (map[string]jobs.USD, error)) error {
	if onRecord == nil {
		return nil
	}
	limits, err := onRecord(ctx)
	for err == nil {
		_, err = rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.Del(ctx, l.settings)
			for account, limit := range limits {
				p.HSet(ctx, l.settings, account, int64(limit))
			}
			return nil
		})
		if err != nil {
			break
		}
		before := limits
		if limits, err = onRecord(ctx); err == nil && maps.Equal(before, limits) {
			return nil
		}
	}
	return fmt.Errorf("restoring the limits that were set: %w", err)
}

// restoredTogether bounds how many calls one script restores.
const restoredTogether = 200

// restore holds the calls in flight again that the shared state has lost.
func (r *rebuilding) restore(ctx context.Context, inFlight func(context.Context) ([]jobs.Spend, error)) error {
	if inFlight == nil {
		return nil
	}
	calls, err := inFlight(ctx)
	if err != nil {
		return fmt.Errorf("rebuilding the budgets' sums: %w", err)
	}
	for some := range slices.Chunk(calls, restoredTogether) {
		ops := make([]lua.Op, len(some))
		for i, s := range some {
			ops[i] = r.l.restore(s)
		}
		replies, err := r.script.Run(ctx, r.rdb, ops)
		if err != nil {
			return fmt.Errorf("restoring the calls in flight: %w", err)
		}
		for i, reply := range replies {
			if reply.Fault != "" {
				return fmt.Errorf("restoring call %s: %s", some[i].Call, reply.Fault)
			}
		}
	}
	return nil
}
