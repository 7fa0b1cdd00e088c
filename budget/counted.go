package budget

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// identity is what makes a budget's sums its own. Its limit is not: that may
// change, and the sums are as they were.
type identity struct {
	Name   string `json:"name"`
	Tenant string `json:"tenant,omitempty"`
	Model  string `json:"model,omitempty"`
	Window Window `json:"window,omitempty"`
	Zone   string `json:"zone"`
}

func identify(b Budget) string {
	text, _ := json.Marshal(identity{b.Name, b.Tenant, b.Model, b.Window, b.Location.String()}) // strings: cannot fail
	return string(text)
}

// Announce has the sums count the budgets that they do not count yet, because
// they were made by replicas that did not know them, from the next Rebuild on.
// It reports whether there are any: until then no call of theirs is admitted.
func (l *Ledger) Announce(ctx context.Context, rdb redis.Cmdable) (bool, error) {
	if len(l.budgets) == 0 {
		return false, nil
	}
	names := l.identities()
	states, err := rdb.HMGet(ctx, l.counted, names...).Result()
	if err != nil {
		return false, fmt.Errorf("looking which budgets the sums count: %w", err)
	}
	unknown := false
	for i, state := range states {
		if state == "1" {
			continue
		}
		unknown = true
		if err := rdb.HSetNX(ctx, l.counted, names[i], "").Err(); err != nil {
			return false, fmt.Errorf("having budget %s counted: %w", l.budgets[i].Name, err)
		}
	}
	return unknown, nil
}

func (l *Ledger) identities() []string {
	names := make([]string, len(l.budgets))
	for i, f := range l.budgets {
		names[i] = f.identity
	}
	return names
}

// counting is the ledger with the budgets of all replicas, as far as they have
// been heard of: whoever rebuilds the sums does so for everybody.
func (l *Ledger) counting(ctx context.Context, rdb redis.Cmdable) (*Ledger, error) {
	known, err := rdb.HKeys(ctx, l.counted).Result()
	if err != nil {
		return nil, fmt.Errorf("looking which budgets other replicas have: %w", err)
	}
	all := *l
	all.forms = new(forms)
	own := l.identities()
	for _, text := range known {
		if slices.Contains(own, text) {
			continue
		}
		f, err := l.foreign(text)
		if err != nil {
			return nil, fmt.Errorf("counting %s, which another replica has: %w", text, err)
		}
		all.budgets = append(slices.Clip(all.budgets), f)
	}
	return &all, nil
}

// foreign is the fund of a budget that only other replicas have, as far as its
// sums go: who has it knows its limit.
func (l *Ledger) foreign(text string) (*fund, error) {
	var id identity
	if err := json.Unmarshal([]byte(text), &id); err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(id.Zone)
	if err != nil {
		return nil, err
	}
	f := newFund(Budget{Name: id.Name, Tenant: id.Tenant, Model: id.Model, Window: id.Window, Location: zone}, l.accountKey)
	f.identity = text // to the letter, whichever build wrote it
	return f, nil
}
