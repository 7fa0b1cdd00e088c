package budget

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/jobs"
)

// Sum is what one account has come to.
type Sum struct {
	Account string    `json:"account"`           // batch:contracts-1a2b, budget:acme-day
	Title   string    `json:"title"`             // for people
	Window  Window    `json:"window,omitempty"`  // after which it starts again at nothing
	Turn    string    `json:"turn,omitempty"`    // of the window: 2025-11-23, 2025-W47, 2025-11
	Start   time.Time `json:"start,omitzero"`    // of the turn
	End     time.Time `json:"end,omitzero"`      // of the turn
	Limit   jobs.USD  `json:"limit,omitempty"`   // 0 for none
	Set     bool      `json:"set,omitempty"`     // Limit is SetLimit's, not the configured one
	Alerted float64   `json:"alerted,omitempty"` // the highest share that raised an alert
	Spent   jobs.USD  `json:"spent"`             // for good
	Held    jobs.USD  `json:"held,omitempty"`    // at most this much more, by calls in flight

	// Presumed and Ambiguous are parts of Spent: holds whose worker died, and
	// attempts of which nobody knows whether they were billed.
	Presumed  jobs.USD `json:"presumed,omitempty"`
	Ambiguous jobs.USD `json:"ambiguous,omitempty"`

	Models  map[string]jobs.USD `json:"models,omitempty"`  // spent with each model
	Batches map[string]jobs.USD `json:"batches,omitempty"` // spent by each batch
}

// Budget is the name of the configured budget that it is of, if it is of one.
func (s *Sum) Budget() (name string, ok bool) { return strings.CutPrefix(s.Account, Account("")) }

// Over reports whether the turn has ended: nothing more is reserved in it.
func (s *Sum) Over(now time.Time) bool { return !s.End.IsZero() && !now.Before(s.End) }

// Left is how much of the limit is neither spent nor held.
func (s *Sum) Left() jobs.USD { return max(0, s.Limit-s.Spent-s.Held) }

// Sums returns the sums of the named accounts, in every turn of their windows,
// or of all accounts. A configured budget is listed even if nothing was spent
// in its present turn. They are sorted by account and turn.
func (l *Ledger) Sums(ctx context.Context, rdb redis.Cmdable, names ...string) ([]Sum, error) {
	keys, err := l.accountKeys(ctx, rdb, names)
	if err != nil {
		return nil, err
	}
	limits, err := l.Limits(ctx, rdb)
	if err != nil {
		return nil, err
	}
	found := make(map[string]*redis.MapStringStringCmd, len(keys))
	for chunk := range slices.Chunk(keys, 1000) {
		_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, key := range chunk {
				found[key] = p.HGetAll(ctx, key)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading the ledger's sums: %w", err)
		}
	}
	sums := make(map[string]*Sum, len(found)+len(l.budgets))
	for key, fields := range found {
		if len(fields.Val()) > 0 {
			sums[key] = l.sum(key, fields.Val())
		}
	}
	for _, f := range l.budgets {
		a := f.at(time.Now())
		switch s := sums[a.key]; {
		case s != nil:
			s.Limit = f.Limit // the last call may have met one that was set
		case l.wanted(a.key, names):
			sums[a.key] = l.sum(a.key, a.fields())
		}
	}
	var list []Sum
	for _, s := range sums {
		s.override(limits)
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b Sum) int {
		return cmp.Or(strings.Compare(a.Account, b.Account), strings.Compare(a.Turn, b.Turn))
	})
	return list, nil
}

// override takes the limit that was set for the account, if one was.
func (s *Sum) override(limits map[string]string) {
	if n, err := strconv.ParseInt(limits[s.Account], 10, 64); err == nil {
		s.Limit, s.Set = jobs.USD(n), true
	}
}

// accountKeys are the keys of the named accounts, or of all. Batches have one
// each, which is not looked for among those of all the others.
func (l *Ledger) accountKeys(ctx context.Context, rdb redis.Cmdable, names []string) ([]string, error) {
	var keys []string
	for _, name := range names {
		if strings.HasPrefix(name, BatchAccount("")) {
			keys = append(keys, l.accountKey(name))
		}
	}
	if len(keys) > 0 && len(keys) == len(names) {
		return keys, nil
	}
	keys, err := rdb.SMembers(ctx, l.accounts).Result()
	if err != nil {
		return nil, fmt.Errorf("listing the ledger's accounts: %w", err)
	}
	return slices.DeleteFunc(keys, func(k string) bool { return !l.wanted(k, names) }), nil
}

// Limits are those that were set, in millionths of a dollar by account: another
// set of them means that what did not fit may fit now.
func (l *Ledger) Limits(ctx context.Context, rdb redis.Cmdable) (map[string]string, error) {
	limits, err := rdb.HGetAll(ctx, l.settings).Result()
	if err != nil {
		return nil, fmt.Errorf("reading the ledger's settings: %w", err)
	}
	return limits, nil
}

// wanted reports whether the key is of an account that was asked for.
func (l *Ledger) wanted(key string, names []string) bool {
	return len(names) == 0 || slices.ContainsFunc(names, func(name string) bool {
		k := l.accountKey(name)
		return key == k || strings.HasPrefix(key, k+":")
	})
}

func (l *Ledger) sum(key string, fields map[string]string) *Sum {
	number := func(f string) int64 { n, _ := strconv.ParseInt(fields[f], 10, 64); return n }
	money := func(f string) jobs.USD { return jobs.USD(number(f)) }
	s := &Sum{
		Account: fields["name"], Title: fields["title"],
		Turn:  strings.TrimPrefix(strings.TrimPrefix(key, l.accountKey(fields["name"])), ":"),
		Limit: money("limit"), Spent: money("spent"), Held: money("held"),
		Presumed: money("presumed"), Ambiguous: money("ambiguous"),
		Alerted: float64(number("alerted")) / 1e6,
	}
	if end := number("end"); end > 0 {
		s.Start, s.End = time.UnixMicro(number("start")), time.UnixMicro(end)
	}
	s.Window = windowOf(s.Turn)
	s.Models, s.Batches = parts(fields, "model:"), parts(fields, "batch:")
	return s
}

// parts returns the fields that begin with the prefix, without it.
func parts(fields map[string]string, prefix string) map[string]jobs.USD {
	m := map[string]jobs.USD{}
	for f, v := range fields {
		if name, ok := strings.CutPrefix(f, prefix); ok {
			n, _ := strconv.ParseInt(v, 10, 64)
			m[name] = jobs.USD(n)
		}
	}
	maps.DeleteFunc(m, func(_ string, u jobs.USD) bool { return u == 0 })
	return m
}

// fields are those of an account that do not change with what is spent.
func (a *account) fields() map[string]string {
	return map[string]string{
		"name": a.name, "title": a.title, "limit": micros(a.limit),
		"start": a.start, "end": a.end, "alerts": a.alerts,
	}
}

// SetLimit overrides the limit of an account, named as in Sum.Account, for the
// whole fleet from its next call on, and in every turn to come. A limit of 0
// returns to the configured one. It lasts as long as the shared state; whoever
// wants it to outlive that records it first, see Records.Limits.
func (l *Ledger) SetLimit(ctx context.Context, rdb redis.Cmdable, name string, limit jobs.USD) error {
	err := l.Settable(ctx, rdb, name, limit)
	if err != nil {
		return err
	}
	if limit == 0 {
		err = rdb.HDel(ctx, l.settings, name).Err()
	} else {
		err = rdb.HSet(ctx, l.settings, name, int64(limit)).Err()
	}
	if err != nil {
		return fmt.Errorf("setting the limit of %s: %w", name, err)
	}
	return nil
}

// Settable tells why an account cannot be given the limit, or nil.
func (l *Ledger) Settable(ctx context.Context, rdb redis.Cmdable, name string, limit jobs.USD) error {
	if err := l.knows(ctx, rdb, name); err != nil {
		return err
	}
	if limit < 0 || limit > most {
		return fmt.Errorf("limit %v: use an amount up to %v, or 0 to return to the configured one", limit, most)
	}
	return nil
}

func (l *Ledger) knows(ctx context.Context, rdb redis.Cmdable, name string) error {
	if batch, ok := strings.CutPrefix(name, BatchAccount("")); ok && batch != "" {
		return nil
	}
	known := l.Names()
	for i := range known {
		known[i] = Account(known[i])
	}
	if slices.Contains(known, name) {
		return nil
	}
	used, err := l.Sums(ctx, rdb, name) // the workers may have a budget that this process was not told of
	if err != nil {
		return err
	}
	if slices.ContainsFunc(used, func(s Sum) bool { return s.Account == name }) {
		return nil
	}
	return fmt.Errorf("there is no account %q: use batch: and the id of a batch, or one of the configured budgets %q", name, known)
}

// Names lists the configured budgets.
func (l *Ledger) Names() []string {
	names := make([]string, len(l.budgets))
	for i, f := range l.budgets {
		names[i] = f.Name
	}
	return names
}
