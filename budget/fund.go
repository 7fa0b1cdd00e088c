package budget

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// Budget is a hard limit on what some of the calls may cost together.
type Budget struct {
	Name      string         // default made of tenant, model and window: acme-small-day
	Tenant    string         // "" for any
	Model     string         // "" for any
	Window    Window         // default Forever
	Location  *time.Location // whose midnight ends the window; default UTC
	Limit     jobs.USD
	AlertAt   []float64  // shares of the limit that raise an alert; default none
	CheaperAt float64    // share of the limit from which cheaper models of a chain are asked first; default never
	WhenSpent jobs.Spent // default pause
}

// fund is a budget made ready for use.
type fund struct {
	Budget
	key             func(name string) string
	alerts, cheaper string
	identity        string
	last            atomic.Pointer[turn]
}

// turn is the fund's account in one turn of its window.
type turn struct {
	*span
	account account
}

func newFund(b Budget, key func(string) string) *fund {
	if b.Location == nil {
		b.Location = time.UTC
	}
	if b.Name == "" {
		b.Name = defaultName(b)
	}
	return &fund{Budget: b, key: key, alerts: shares(b.AlertAt), cheaper: share(b.CheaperAt), identity: identify(b)}
}

func defaultName(b Budget) string {
	var parts []string
	for _, p := range []string{b.Tenant, b.Model, string(b.Window)} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	if b.Tenant == "" && b.Model == "" {
		parts = append([]string{"all"}, parts...)
	}
	return strings.Join(parts, "-")
}

func (f *fund) validate() error {
	var errs []error
	if strings.ContainsFunc(f.Name, func(r rune) bool { return r < ' ' || r == ':' }) {
		errs = append(errs, fmt.Errorf("name %q: leave out colons and control characters", f.Name))
	}
	if f.Limit <= 0 || f.Limit > most {
		errs = append(errs, fmt.Errorf("limit %v: use an amount above 0 and up to %v", f.Limit, most))
	}
	if !f.Window.valid() {
		errs = append(errs, fmt.Errorf("window %q: use day, week or month, or leave it out", f.Window))
	}
	if f.CheaperAt != 0 {
		errs = append(errs, checkShares("cheaper_at", f.CheaperAt))
	}
	return errors.Join(append(errs, f.WhenSpent.Validate(), checkShares("alert_at", f.AlertAt...))...)
}

func (f *fund) covers(tenant, model string) bool {
	return (f.Tenant == "" || f.Tenant == tenant) && (f.Model == "" || f.Model == model)
}

// at returns the account that a call admitted at t belongs to.
func (f *fund) at(t time.Time) account {
	if last := f.last.Load(); last != nil && last.holds(t) {
		return last.account
	}
	now := f.turn(t)
	if now.span != nil {
		f.last.Store(now)
	}
	return now.account
}

func (f *fund) turn(t time.Time) *turn {
	a := account{
		name: Account(f.Name), title: f.Name, limit: f.Limit,
		start: "0", end: "0", alerts: f.alerts, cheaper: f.cheaper, budget: f.identity,
	}
	if f.WhenSpent != jobs.PauseWhenSpent {
		a.spent = string(f.WhenSpent)
	}
	if f.Window == Forever {
		a.key = f.key(a.name)
		return &turn{account: a}
	}
	s := f.Window.span(t, f.Location)
	a.key, a.title = f.key(a.name+":"+s.name), a.title+" "+f.Window.preposition()+" "+s.name
	a.turn = s
	a.start, a.end = strconv.FormatInt(s.start.UnixMicro(), 10), strconv.FormatInt(s.end.UnixMicro(), 10)
	return &turn{s, a}
}
