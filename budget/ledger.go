package budget

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
)

//go:embed ledger.lua
var ledgerLua string

const (
	module    = "ledger"
	separator = "\x1d" // between the parts of terms, holds and alerts
)

// most is the largest limit: up to here Redis's Lua counts millionths exactly.
const most jobs.USD = 1<<53 - 1

// Config says which budgets there are.
type Config struct {
	Keys    lua.Keyspace // default "drover"
	Budgets []Budget     // in addition to those of the batches themselves

	// AlertAt are the shares of a batch's own budget that raise an alert,
	// such as 0.8; default none.
	AlertAt []float64

	// Lease is how long a call that a rebuilding has restored is held before
	// its worker must have been heard of. Default 30s.
	Lease time.Duration
}

// Ledger is the guard that keeps spend within its limits. It holds no state
// of its own and is safe for concurrent use.
type Ledger struct {
	keys    lua.Keyspace
	lease   time.Duration
	alertAt string
	budgets []*fund
	forms   *forms

	root, settings, live, lapsed, unbooked, accounts, alerts, counted, owner string // keys
}

// New checks the configuration.
func New(c Config) (*Ledger, error) {
	if c.Keys == "" {
		c.Keys = "drover"
	}
	l := &Ledger{keys: c.Keys, lease: cmp.Or(c.Lease, 30*time.Second), alertAt: shares(c.AlertAt), forms: new(forms), root: c.Keys.Key(module)}
	errs := []error{checkShares("alert_at", c.AlertAt...)}
	if c.Lease < 0 {
		errs = append(errs, errors.New("lease cannot be negative"))
	}
	names := map[string]bool{}
	for i, b := range c.Budgets {
		f := newFund(b, l.accountKey)
		if err := f.validate(); err != nil {
			errs = append(errs, fmt.Errorf("budget %d: %w", i+1, err))
			continue
		}
		if names[f.Name] {
			errs = append(errs, fmt.Errorf("budget %d: there is another one named %q; give it a name of its own", i+1, f.Name))
		}
		names[f.Name] = true
		l.budgets = append(l.budgets, f)
	}
	for part, key := range map[string]*string{
		"settings": &l.settings, "live": &l.live, "lapsed": &l.lapsed, "unbooked": &l.unbooked,
		"accounts": &l.accounts, "alerts": &l.alerts, "budgets": &l.counted, "rebuild": &l.owner,
	} {
		*key = l.keys.Key(module, part)
	}
	return l, errors.Join(errs...)
}

// Module is the ledger's part of the gate's script.
func (l *Ledger) Module() lua.Module { return lua.Module{Name: module, Source: ledgerLua} }

// Enter reserves the call's worst case in its batch and in every budget that
// applies, and claims its job. A refusal of a job that has a live call already
// has the tag "claimed".
func (l *Ledger) Enter(c *jobs.Call) lua.Step { return l.enter(c, "", time.Now()) }

// Resume holds the worst case of a call that is in flight already, whatever
// the limits: for calls that the shared state has lost.
func (l *Ledger) Resume(c *jobs.Call) lua.Step { return l.enter(c, "resume", time.Now()) }

func (l *Ledger) enter(c *jobs.Call, mode string, now time.Time) lua.Step {
	if mode == "" && c.Cheaper {
		mode = "cheaper"
	}
	return l.step(l.entryOf(c, c.Worst, mode, now))
}

func (l *Ledger) entryOf(c *jobs.Call, amount jobs.USD, mode string, at time.Time) entry {
	return entry{
		call: c.ID, job: c.Job, batch: c.Batch, tenant: c.Tenant, model: c.Model.Name,
		limit: c.Limit, alerts: cmp.Or(shares(c.AlertAt), l.alertAt), cheaper: share(c.CheaperAt),
		amount: amount, mode: mode, at: at,
	}
}

// Leave settles the call's hold to what the attempt cost: its true cost if it
// was billed, nothing if it was free, the worst case if it is presumed paid.
func (l *Ledger) Leave(c *jobs.Call, a *jobs.Attempt) lua.Step {
	at := a.Started
	if at.IsZero() {
		at = time.Now()
	}
	cost, mode := settled(a.Billing, a.Cost, c.Worst)
	return l.step(l.entryOf(c, cost, mode, at))
}

// restore is the Resume of a call that is on record elsewhere.
func (l *Ledger) restore(s jobs.Spend) lua.Op {
	step := l.step(entry{
		call: s.Call, job: s.Job, batch: s.Batch, tenant: s.Tenant, model: s.Model,
		alerts: l.alertAt, cheaper: "0", amount: s.Cost, mode: "resume", at: s.At,
	})
	return lua.Op{Kind: lua.Restore, Call: s.Call, Lease: l.lease, Steps: []lua.Step{step}}
}

// settled returns what an attempt adds to the sums. A presumed one without a
// cost counts as its worst case.
func settled(b jobs.Billing, cost, worst jobs.USD) (jobs.USD, string) {
	switch {
	case b == jobs.Billed:
		return cost, ""
	case b == jobs.Presumed && cost > 0:
		return cost, "presumed"
	case b == jobs.Presumed:
		return worst, "presumed"
	}
	return 0, ""
}

// Applies reports whether any configured limit applies to the call, so that a
// model whose price nobody knows must not be asked. Limits that SetLimit gave
// to a batch without one do not count.
func (l *Ledger) Applies(c *jobs.Call) bool {
	return c.Limit > 0 || slices.ContainsFunc(l.budgets, func(f *fund) bool { return f.covers(c.Tenant, c.Model.Name) })
}

// Accounts names the accounts that a call is charged to if it is admitted at
// that time. It does not block.
func (l *Ledger) Accounts(c *jobs.Call, at time.Time) []string {
	list := l.accountsOf(entry{batch: c.Batch, tenant: c.Tenant, model: c.Model.Name, limit: c.Limit, at: at})
	names := make([]string, len(list))
	for i, a := range list {
		names[i] = a.key
	}
	return names
}

// entry is what a step needs to know, of a call or of a spend.
type entry struct {
	call    string
	job     jobs.ID
	batch   string
	tenant  string
	model   string
	limit   jobs.USD // the batch's own, and its terms
	alerts  string
	cheaper string
	amount  jobs.USD
	mode    string
	at      time.Time
}

func (l *Ledger) step(e entry) lua.Step {
	job := string(e.job)
	if job == "" {
		job = e.call
	}
	return l.form(&e).Step(micros(max(0, min(e.amount, most))), job)
}

// accountsOf returns the accounts that an entry is posted to, each once.
func (l *Ledger) accountsOf(e entry) []account {
	list := append(make([]account, 0, 1+len(l.budgets)), l.batchAccount(&e))
	for _, f := range l.budgets {
		if !f.covers(e.tenant, e.model) {
			continue
		}
		if a := f.at(e.at); !slices.ContainsFunc(list, func(b account) bool { return a.key == b.key }) {
			list = append(list, a)
		}
	}
	return list
}

// account is one running sum, as the script is told about it.
type account struct {
	key, name, title string
	limit            jobs.USD
	start, end       string // of its window, in microseconds; "0" without one
	spent, alerts    string // what becomes of the rest, "" for pause; shares
	cheaper          string // share from which cheaper models come first, "0" for never
	budget           string // the fund's identity; "" for a batch
	turn             *span  // of its window; nil without one
}

// terms writes the account's terms as ledger.lua reads them.
func (a *account) terms() string {
	return strings.Join([]string{a.name, a.title, micros(a.limit), a.start, a.end, a.spent, a.alerts, a.cheaper, a.budget}, separator)
}

func (l *Ledger) batchAccount(e *entry) account {
	name := BatchAccount(e.batch)
	return account{
		key: l.accountKey(name), name: name, title: "batch " + e.batch,
		limit: max(0, min(e.limit, most)), start: "0", end: "0", alerts: e.alerts, cheaper: e.cheaper,
	}
}

// Account names the account of a configured budget, for SetLimit and Sums.
func Account(budget string) string { return "budget:" + budget }

// BatchAccount names the account of a batch, for SetLimit.
func BatchAccount(batch string) string { return "batch:" + batch }

func (l *Ledger) accountKey(name string) string { return l.keys.Key(module, "account", name) }

func micros(u jobs.USD) string { return strconv.FormatInt(int64(u), 10) }

// shares writes shares of a limit as the script reads them.
func shares(list []float64) string {
	var b strings.Builder
	for _, s := range list {
		b.WriteString(share(s) + ";")
	}
	return b.String()
}

func share(s float64) string { return strconv.FormatInt(int64(math.Round(s*1e6)), 10) }

func checkShares(what string, list ...float64) error {
	for _, s := range list {
		if err := jobs.CheckShare(s); err != nil {
			return fmt.Errorf("%s %w", what, err)
		}
	}
	return nil
}
