package wire

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/racing"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
)

// quotaScene is a fleet that could do more than its provider allows.
type quotaScene struct {
	limit    simulator.Limit // what the provider enforces
	set      config.Quota    // what is configured
	replicas int
	warmUp   time.Duration // default 10s
	measured time.Duration // default a minute
	latency  time.Duration // default half a second
	after    time.Duration // how long the judge looks on
	since    time.Duration // when the first minute begins; default at once
	perform  func(*world)  // what happens besides; may be nil
	varied   bool          // documents are of many sizes, three times as large on average
	raced    bool          // the race detector looks on: it takes a minute, so that each way is seen once
}

// atOnce is how much of its quota a provider lets through at once.
const atOnce = 2 * time.Second

func ofRequests(perMinute int) quotaScene {
	return quotaScene{
		limit: simulator.Limit{RequestsPerMinute: perMinute, Burst: atOnce}, set: config.Quota{Requests: int64(perMinute)},
		replicas: 4, warmUp: 10 * time.Second, measured: time.Minute,
	}
}

func ofTokens(perMinute int) quotaScene {
	q := ofRequests(perMinute / 60) // a call takes about 45
	q.limit = simulator.Limit{TokensPerMinute: perMinute, Burst: atOnce}
	q.set = config.Quota{Tokens: int64(perMinute)}
	return q
}

// use plays the scene and measures how the fleet gets on.
func (q *quotaScene) use(t *testing.T, judge func(*world, audit.Use)) {
	t.Helper()
	if racing.On && !q.raced {
		t.Skip("the race detector takes minutes for a minute of a quota, and sees the same ways in others")
	}
	s := scene{provider: simulator.Config{
		Latency: cmp.Or(q.latency, 500*time.Millisecond), Spread: 0.3, Keep: 1 << 20, Limits: map[string]simulator.Limit{"small": q.limit},
	}}
	perSecond, documents := max(q.limit.RequestsPerMinute, q.limit.TokensPerMinute/40)/60, short
	if q.varied {
		perSecond, documents = perSecond/4, varied
	}
	s.tune = func(c *config.Config) {
		if q.set != (config.Quota{}) {
			c.Quotas = map[string]config.Quota{"small": q.set}
		}
		small := c.Models["small"]
		small.Timeout = max(small.Timeout, 2*q.latency)
		c.Models["small"] = small
		c.Worker.Slots = int(4+2*q.latency.Seconds())*perSecond/q.replicas + 4 // one may be gone
	}
	inWorld(t, s, func(w *world) {
		slots := w.config.Worker.Slots * (q.replicas + 1)
		w.submit(jobs.Batch{ID: "contracts", Chain: "cheap"}, documents(slots+21*perSecond*int((q.warmUp+q.measured+q.after).Seconds())/20)...)
		began := time.Now()
		w.start(crew(q.replicas)...)
		if q.perform != nil {
			go q.perform(w)
		}
		time.Sleep(q.warmUp)
		from := time.Now()
		time.Sleep(q.measured)
		m := audit.Meter{Limit: q.limit, Calls: w.asked(), There: w.presence(began), Since: began.Add(q.since)}
		u := m.Between(from, time.Now())
		if w.progress("contracts").Queued == 0 {
			t.Error("there were too few documents")
		}
		t.Logf("%d replicas: %.1f %% used, %.2f %% 429s, Jain %.3f, first minute %.2f", q.replicas, 100*u.Share, 100*u.Limited, u.Fairness, u.First)
		judge(w, u)
		w.untilOver("contracts")
		w.answered("contracts")
	})
}

// varied is n documents of many sizes, from 50 to 280 tokens.
func varied(n int) []string {
	dice := rand.New(rand.NewPCG(1, 2))
	docs := make([]string, n)
	for i := range docs {
		docs[i] = strings.Repeat("Whereas they met. ", 12+dice.IntN(50))
	}
	return docs
}

// asked is every call with the replica that made it; nobody's are a
// stranger's.
func (w *world) asked() []audit.Asked {
	type moment struct {
		at     int64
		prompt string
	}
	w.provider.mu.Lock()
	defer w.provider.mu.Unlock()
	who := map[moment]string{}
	for _, c := range w.provider.calls {
		who[moment{c.at.UnixNano(), c.prompt}] = c.worker
	}
	var all []audit.Asked
	for _, e := range w.provider.Ledger(0) {
		name, ok := who[moment{e.At.UnixNano(), e.Prompt}]
		if !ok {
			name = audit.Stranger
		}
		all = append(all, audit.Asked{Entry: e, Who: name})
	}
	return all
}

// ours is the ledger without what a stranger asked, of which nobody knows.
func (p *provider) ours() []simulator.Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(p.Ledger(0), func(e simulator.Entry) bool { return e.Prompt == p.stranger })
}

// presence is when each worker that is there now has been there. Those that
// have gone are nobody's measure.
func (w *world) presence(since time.Time) map[string]audit.Presence {
	there := map[string]audit.Presence{}
	for name := range w.names() {
		if !strings.HasPrefix(name, "later") {
			there[name] = audit.Presence{From: since, To: time.Now().Add(time.Hour)}
		}
	}
	return there
}

// enough fails the test unless the figures are what is promised.
func enough(w *world, u audit.Use) {
	w.Helper()
	if u.Share < 0.995 || u.Limited > 0.001 || u.Fairness < 0.98 || u.First > 1.2 {
		w.Errorf("want 99.5 %% used, 0.1 %% 429s, a Jain index of 0.98 and 1.2 times the quota in the first minute; got %+v", u)
	}
}

func TestReplicasShareOneQuotaAndUseAllOfIt(t *testing.T) {
	for replicas, q := range map[int]quotaScene{1: ofRequests(600), 2: ofTokens(24_000), 4: ofTokens(24_000), 8: ofRequests(600)} {
		t.Run(fmt.Sprint(replicas), func(t *testing.T) {
			q.replicas, q.raced = replicas, replicas == 2
			q.use(t, enough)
		})
	}
}

func TestTokensOfDocumentsOfManySizesAreShared(t *testing.T) {
	q := ofTokens(200_000)
	q.varied, q.replicas, q.measured = true, 8, 40*time.Second
	q.use(t, enough)
}

func TestLargeQuotaIsUsedUp(t *testing.T) {
	if testing.Short() {
		t.Skip("1,500 calls")
	}
	q := ofRequests(6000)
	q.warmUp, q.measured = 5*time.Second, 10*time.Second
	q.use(t, enough)
}

// What headers said was left used to be taken as if no call were on its way
// since, so that a slow model's bucket swung from empty to full. And what a
// provider counts beyond what was reserved was missed in all calls on their way.
func TestQuotaOfASlowModelIsUsedUp(t *testing.T) {
	for name, test := range map[string]struct {
		latency time.Duration
		counts  float64
		varied  bool
	}{
		"5s":                    {5 * time.Second, 1, false},
		"20s, 5 % more counted": {20 * time.Second, 1.05, false},
		"15s, many sizes":       {15 * time.Second, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			q := ofTokens(24_000)
			q.latency, q.limit.Counts, q.varied, q.warmUp = test.latency, test.counts, test.varied, 20*time.Second+3*test.latency
			if test.latency > 10*time.Second {
				q.measured += q.measured / 2 // a call is a sixth of a per cent of a minute
			}
			q.use(t, enough)
		})
	}
}

func TestQuotaIsUsedUpWhileReplicasComeAndGo(t *testing.T) {
	for name, q := range map[string]quotaScene{"requests": ofRequests(600), "tokens": ofTokens(24_000)} {
		t.Run(name, func(t *testing.T) {
			q.perform = comeAndGo
			q.use(t, enough)
		})
	}
}

func comeAndGo(w *world) {
	for i := range 4 {
		time.Sleep(7 * time.Second)
		name := fmt.Sprint("later", i)
		w.start(name)
		time.Sleep(5 * time.Second)
		if i%2 == 0 {
			w.kill(name)
		} else {
			w.stop(name)
		}
	}
}

func TestLimitConfiguredTooHighIsCorrectedByHeaders(t *testing.T) {
	q := ofRequests(600)
	q.set.Requests, q.replicas = 630, 2
	q.use(t, enough)
}

func TestTokensEstimatedTooLowAreCorrectedByHeaders(t *testing.T) {
	q := ofTokens(24_000)
	q.limit.Counts = 1.05
	q.use(t, enough)
}

func TestWhatSomebodyElseLeavesOfTheQuotaIsUsed(t *testing.T) {
	q := ofRequests(600)
	q.perform = func(w *world) {
		body := `{"model":"small","messages":[{"role":"user","content":"And what of this?"}]}`
		w.provider.stranger = simulator.Prompt([]byte(body))
		for range 140 { // two a second, a fifth of the quota
			res, err := w.provider.Client().Post("http://simulator/v1/chat/completions", "application/json", strings.NewReader(body))
			w.must(err)
			w.must(res.Body.Close())
			time.Sleep(time.Until(time.Now().Truncate(500 * time.Millisecond).Add(500 * time.Millisecond)))
		}
	}
	q.use(t, func(w *world, u audit.Use) {
		if u.Share < 0.99 || u.Limited > 0.01 {
			w.Errorf("want 99 %% of what is left used, and 1 %% 429s; got %+v", u)
		}
	})
}

func TestLimitThatNobodyKnowsIsFoundAndFoundAgain(t *testing.T) {
	for name, q := range map[string]quotaScene{"requests": ofRequests(600), "tokens": ofTokens(24_000)} {
		t.Run(name, func(t *testing.T) {
			q.set, q.limit.Silent, q.warmUp, q.measured, q.after = config.Quota{}, true, 30*time.Second, 40*time.Second, 25*time.Second
			half := q.limit
			half.RequestsPerMinute /= 2
			half.TokensPerMinute /= 2
			q.use(t, func(w *world, u audit.Use) {
				if u.Share < 0.9 || u.Limited > 0.05 { // it is felt for, so it varies
					w.Errorf("want 90 %% used and 5 %% 429s; got %+v", u)
				}
				w.must(w.provider.SetLimits(map[string]simulator.Limit{"small": half}))
				time.Sleep(30 * time.Second)
				from := time.Now()
				time.Sleep(20 * time.Second)
				m := audit.Meter{Limit: half, Calls: w.asked()}
				if u := m.Between(from, time.Now()); u.Share < 0.9 || u.Limited > 0.05 {
					w.Errorf("half a minute after the limit halved: %+v", u)
				}
			})
		})
	}
}

// Calls that had their time from the limiter already used to be sent into a
// pause that another replica had been told of meanwhile.
func TestPauseHoldsForCallsOfAllReplicasThatWaitForTheirTime(t *testing.T) {
	q := ofRequests(600)
	q.measured, q.after = 5*time.Second, 20*time.Second
	q.use(t, func(w *world, _ audit.Use) {
		w.must(w.provider.SetLimits(map[string]simulator.Limit{"small": {RequestsPerMinute: 6, Burst: atOnce}})) // one in ten seconds
		began := time.Now()
		w.wait(func() bool { return w.provider.Stats().Statuses[http.StatusTooManyRequests] > 0 })
		w.must(w.provider.SetLimits(map[string]simulator.Limit{"small": q.limit}))
		time.Sleep(15 * time.Second)
		var told time.Time
		after := 0
		for _, c := range w.asked() {
			switch {
			case c.At.Before(began):
			case told.IsZero():
				if c.Status == http.StatusTooManyRequests {
					told = c.At
				}
			case c.At.After(told.Add(10 * time.Second)):
				after++
			case c.At.After(told):
				w.Errorf("a call of %s %v after the provider had asked for a pause of 10s", c.Who, c.At.Sub(told))
			}
		}
		if told.IsZero() || after < 5 {
			w.Errorf("paused at %v, and %d calls after it", told, after)
		}
	})
}

func TestTrafficRampsUpAfterAnOutage(t *testing.T) {
	q := ofRequests(600)
	q.warmUp, q.measured, q.since = 50*time.Second, 40*time.Second, 20*time.Second // the circuit is open for half a minute
	q.perform = func(w *world) {
		time.Sleep(10 * time.Second)
		w.outage("", 10*time.Second)
	}
	q.use(t, enough)
}
