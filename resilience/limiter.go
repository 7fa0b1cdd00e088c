package resilience

import (
	"cmp"
	_ "embed"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
)

// The limiter's script in its parts, each of which relies on those before it.
var (
	//go:embed limiter.lua
	limiterQuota string
	//go:embed limiter_found.lua
	limiterFound string
	//go:embed limiter_steer.lua
	limiterSteer string
	//go:embed limiter_line.lua
	limiterLine string
	//go:embed limiter_calls.lua
	limiterCalls string
)

// Quota is what a provider allows; it may cover several models. 0 is no limit.
type Quota struct {
	RequestsPerMinute int64
	TokensPerMinute   int64
	Concurrent        int64
}

// LimiterConfig holds the quotas by name.
type LimiterConfig struct {
	Keys   lua.Keyspace // default "drover"
	Quotas map[string]Quota

	// Patience is how long a call waits inside Gate.Enter for its turn in the
	// local line; it is refused if that is likely to take longer. Default 30s.
	Patience time.Duration
}

// Limiter keeps the fleet within the quotas of its providers. It reserves
// start times, first come, first served, and refuses only those that would be
// too far ahead. What it was not told it learns: how many tokens answers
// really take, what the headers of responses say is left and, where nothing
// else is known, from 429s how many requests and tokens there may be.
type Limiter struct {
	config LimiterConfig
	lines  lines
	usage  usage
	forms  forms[report]
}

// horizon is how far ahead start times are reserved.
const horizon = time.Second

// NewLimiter makes the guard of the quotas.
func NewLimiter(config LimiterConfig) *Limiter {
	config.Keys = cmp.Or(config.Keys, "drover")
	config.Patience = cmp.Or(config.Patience, 30*time.Second)
	return &Limiter{config: config, lines: lines{quotas: make(map[string]*line)}}
}

// Module is the limiter's part of the gate's script.
func (l *Limiter) Module() lua.Module {
	return lua.Module{Name: LimiterGuard, Source: limiterQuota + limiterFound + limiterSteer + limiterLine + limiterCalls}
}

// Enter reserves a start time, and a place among the calls in flight.
func (l *Limiter) Enter(call *jobs.Call) lua.Step {
	return l.form(call, report{kind: entering}).Step(itoa(l.usage.expect(call)))
}

// due asks how long an admitted call still waits.
func (l *Limiter) due(call *jobs.Call) lua.Step { return l.form(call, report{kind: waiting}).Step() }

// Leave gives the place back, settles the tokens and learns from the headers.
func (l *Limiter) Leave(call *jobs.Call, a *jobs.Attempt) lua.Step {
	l.usage.learn(call, a)
	used, unsent := taken(a)
	l.settle(call, a)
	said, exhausted := "", ""
	if q := a.Quota; q != nil {
		said = fmt.Sprint(q.RequestsLimit, q.RequestsLeft, q.TokensLimit, q.TokensLeft)
		exhausted = string(q.Exhausted)
	}
	form := l.form(call, report{kind: leaving, unsent: unsent, outcome: outcome(a), retry: a.RetryAfter, exhausted: exhausted})
	return form.Step(used, said)
}

// report is what the limiter is told of a call but for numbers; most are told
// the same.
type report struct {
	kind            stage
	quota, worker   string
	unsent, outcome string
	exhausted       string
	retry           time.Duration
}

// stage is when in a call the limiter is told.
type stage int

const (
	entering stage = iota
	waiting
	leaving
)

func (l *Limiter) form(call *jobs.Call, r report) *lua.Form {
	r.quota, r.worker = quotaOf(call.Model), call.Worker
	return l.forms.of(r, func() *lua.Form {
		q := l.config.Quotas[r.quota]
		settings := fmt.Sprint(q.RequestsPerMinute, q.TokensPerMinute, q.Concurrent, horizon.Microseconds())
		f := &lua.Form{
			Module: LimiterGuard,
			Keys:   []string{quotaKey(l.config.Keys, r.quota), quotaKey(l.config.Keys, r.quota, "line")},
			Args:   []string{r.worker, settings},
		}
		switch r.kind {
		case entering:
			f.Args, f.Vary = append(f.Args, ""), []int{2}
		case leaving:
			f.Args, f.Vary = append(f.Args, "", r.unsent, r.outcome, itoa(r.retry.Microseconds()), "", r.exhausted), []int{2, 6}
		}
		return f
	})
}

// taken is how many tokens the attempt took from the quota, "" if nobody
// knows, and whether the provider never saw it.
func taken(a *jobs.Attempt) (used, unsent string) {
	switch {
	case a.Usage.Total() > 0:
		return itoa(a.Usage.Total()), "0"
	case a.Billing == jobs.Free && (a.Kind == jobs.Unreachable || a.Kind == jobs.Interrupted):
		return "0", "1"
	case a.Kind == jobs.RateLimited:
		return "0", "0"
	}
	return "", "0"
}

// settle tells the line what the call took of the quota.
func (l *Limiter) settle(call *jobs.Call, a *jobs.Attempt) {
	requests, tokens := int64(1), l.usage.expect(call)
	switch used, unsent := taken(a); {
	case unsent == "1":
		requests, tokens = 0, 0
	case used != "":
		tokens = a.Usage.Total()
	}
	l.line(call.Model).left(call.ID, requests, tokens)
}

func outcome(a *jobs.Attempt) string {
	switch {
	case a.Kind == jobs.RateLimited:
		return "limited"
	case a.Kind.Verdict() == jobs.Good:
		return "ok"
	}
	return "other"
}

func quotaKey(keys lua.Keyspace, quota string, part ...string) string {
	return keys.Key(append([]string{"quota", quota}, part...)...)
}

func (l *Limiter) line(m *jobs.Model) *line {
	name := quotaOf(m)
	l.lines.mu.Lock()
	defer l.lines.mu.Unlock()
	if l.lines.quotas[name] == nil {
		l.lines.quotas[name] = newLine(l.config.Quotas[name], l.config.Patience)
	}
	return l.lines.quotas[name]
}

// lines holds the line of every quota that was asked for.
type lines struct {
	mu     sync.Mutex
	quotas map[string]*line
}

// quotaOf names the quota that a model draws on.
func quotaOf(m *jobs.Model) string { return cmp.Or(m.Quota, m.Name) }

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
