package budget

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// hold is an entry of the live or the lapsed holds; its text is described in
// ledger.lua.
type hold struct {
	where, field string
	worst        jobs.USD
	model, batch string
	accounts     []string // keys
}

// draft is an account to be.
type draft struct {
	fields map[string]string
	money  map[string]jobs.USD
}

// readBook adds up the book. Reading may take long, so it renews the ownership
// on the way.
func (r *rebuilding) readBook(ctx context.Context, book iter.Seq2[jobs.Spend, error]) (string, error) {
	r.sums, r.left, r.drop = map[string]*draft{}, nil, nil
	start := time.Now()
	renewed := start
	for s, err := range book {
		if err != nil {
			return "", fmt.Errorf("reading the book to rebuild the budgets' sums: %w", err)
		}
		r.add(s, start)
		if time.Since(renewed) > ownership/3 {
			if state, err := r.own(ctx); err != nil || state != "done" {
				return state, err
			}
			renewed = time.Now()
		}
	}
	return "done", nil
}

func (r *rebuilding) add(s jobs.Spend, now time.Time) {
	h := r.holds[s.Call]
	if h != nil {
		r.drop = append(r.drop, h.where, h.field)
		delete(r.holds, s.Call)
	}
	if h != nil || now.Sub(s.At.Add(s.Took)) < recent || s.Billing == jobs.Presumed {
		r.left = append(r.left, s.Call)
	}
	cost, mode := settled(s.Billing, s.Cost, s.Cost)
	if cost == 0 {
		return
	}
	for _, a := range r.l.accountsOf(entry{batch: s.Batch, tenant: s.Tenant, model: s.Model, at: s.At, alerts: r.l.alertAt}) {
		d := r.draft(a.key)
		if len(d.fields) == 0 {
			d.fields = a.fields()
		}
		d.spend(cost, s.Model, s.Batch)
		if mode == "presumed" {
			d.money["ambiguous"] += cost
		}
	}
}

// keep counts a hold of a call that is not in the book.
func (r *rebuilding) keep(h *hold) {
	for _, key := range h.accounts {
		d := r.draft(key)
		if h.where == "live" {
			d.money["held"] += h.worst
			continue
		}
		d.spend(h.worst, h.model, h.batch)
		d.money["presumed"] += h.worst
	}
}

func (r *rebuilding) draft(key string) *draft {
	d := r.sums[key]
	if d == nil {
		d = &draft{map[string]string{}, map[string]jobs.USD{}}
		r.sums[key] = d
	}
	return d
}

func (d *draft) spend(cost jobs.USD, model, batch string) {
	d.money["spent"] += cost
	d.money["model:"+model] += cost
	d.money["batch:"+batch] += cost
}

func (d *draft) encode() (string, error) {
	for f, u := range d.money {
		d.fields[f] = micros(u)
	}
	text, err := json.Marshal(d.fields)
	return string(text), err
}

func (r *rebuilding) readHolds(ctx context.Context) error {
	r.holds = map[string]*hold{}
	for _, from := range []struct{ where, key string }{{"lapsed", r.l.lapsed}, {"live", r.l.live}} {
		where := from.where
		found, err := r.rdb.HGetAll(ctx, from.key).Result()
		if err != nil {
			return fmt.Errorf("reading the %s holds: %w", where, err)
		}
		for field, text := range found {
			f := strings.Split(text, separator)
			if len(f) < 5 {
				return fmt.Errorf("reading the %s hold %s: %q has %d parts", where, field, text, len(f))
			}
			worst, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return fmt.Errorf("reading the %s hold %s: %w", where, field, err)
			}
			r.holds[f[0]] = &hold{where, field, jobs.USD(worst), f[2], f[3], f[4:]}
		}
	}
	return nil
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
