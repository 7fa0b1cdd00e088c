package resilience

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/jobs"
)

// bucket holds up to size and fills at a rate; with a rate of 0 it is no limit.
type bucket struct{ perMinute, size, left float64 }

func of(perMinute, size float64) bucket { return bucket{perMinute, size, size / 2} }

func (b *bucket) fill(d time.Duration) { b.left = min(b.size, b.left+d.Minutes()*b.perMinute) }

// lacks is how long it takes until n can be taken.
func (b *bucket) lacks(n float64) time.Duration {
	if b.perMinute == 0 || b.left >= n {
		return 0
	}
	return time.Duration((n - b.left) / b.perMinute * float64(time.Minute))
}

func (b *bucket) says() (limit, left int64) {
	if b.perMinute == 0 {
		return -1, -1
	}
	return int64(b.perMinute), int64(b.left)
}

// provider enforces a quota as real ones do: with token buckets, honest
// headers and a 429 when one of them is empty.
type provider struct {
	requests, tokens bucket
	silent           bool // sends no headers
	names            bool // which limit a 429 is of

	mu       sync.Mutex
	at       time.Time
	took     map[string]float64 // by worker, of the quota
	answered int
	limited  int
}

// call answers a request that arrives now.
func (p *provider) call(c *jobs.Call) jobs.Attempt {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.requests.fill(now.Sub(p.at))
	p.tokens.fill(now.Sub(p.at))
	p.at = now
	a := jobs.Attempt{Usage: jobs.Usage{Input: c.Input, Output: c.Output / 4}}
	size := float64(a.Usage.Total())
	if wait := max(p.requests.lacks(1), p.tokens.lacks(size)); wait > 0 {
		p.limited++
		a = jobs.Attempt{Kind: jobs.RateLimited, RetryAfter: wait}
	} else {
		p.requests.left--
		p.tokens.left -= size
		p.answered++
		if p.tokens.perMinute == 0 {
			size = 1
		}
		p.took[c.Worker] += size
	}
	a.Quota = p.says(a.Kind)
	return a
}

func (p *provider) says(kind jobs.Kind) *jobs.Quota {
	q := &jobs.Quota{RequestsLimit: -1, RequestsLeft: -1, TokensLimit: -1, TokensLeft: -1}
	if !p.silent {
		q.RequestsLimit, q.RequestsLeft = p.requests.says()
		q.TokensLimit, q.TokensLeft = p.tokens.says()
	}
	if p.names && kind == jobs.RateLimited {
		q.Exhausted = jobs.Requests
		if p.tokens.perMinute > 0 {
			q.Exhausted = jobs.Tokens
		}
	}
	return q
}

// use is what a fleet got, of all that the quota gave, the part of its requests
// that ran into it, and how fairly it was shared by Jain's index.
type use struct{ share, limited, fair float64 }

// measure lets a time pass and measures it.
func (p *provider) measure(d time.Duration) use {
	p.mu.Lock()
	clear(p.took)
	p.answered, p.limited = 0, 0
	p.mu.Unlock()
	time.Sleep(d)
	p.mu.Lock()
	defer p.mu.Unlock()
	var sum, squares float64
	for _, n := range p.took {
		sum += n
		squares += n * n
	}
	quota := p.requests.perMinute
	if p.tokens.perMinute > 0 {
		quota = p.tokens.perMinute
	}
	return use{
		sum / (quota * d.Minutes()), float64(p.limited) / float64(p.answered+p.limited),
		sum * sum / (float64(len(p.took)) * squares),
	}
}

// slots keeps asking the provider through the replica until ctx ends.
func (r *replica) slots(ctx context.Context, n int, p *provider, next func() *jobs.Call) {
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for c := next(); ctx.Err() == nil; {
				pass, err := r.Enter(ctx, c)
				switch {
				case err != nil:
					return
				case pass.Refusal != nil:
					time.Sleep(pass.Refusal.Wait)
					continue
				}
				for wait := pass.Wait; wait > 0; wait = r.Due(ctx, c) {
					time.Sleep(wait)
				}
				a := p.call(c)
				if a.Kind == "" {
					time.Sleep(time.Second)
				}
				_ = r.Leave(ctx, c, &a)
				c = next()
			}
		})
	}
	all.Wait()
}

// fleet is replicas that all ask one provider for as much as they can.
type fleet struct {
	replicas   int
	configured Quota
	provider   *provider
	redis      time.Duration // the most that Redis takes to answer
	sizes      int64         // most tokens of a call more than 50; 0: they take none
}

// play has the fleet work as long as f takes.
func (f *fleet) play(t *testing.T, measure func(t *testing.T, p *provider)) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		p := f.provider
		p.at, p.took = time.Now(), make(map[string]float64)
		ctx, cancel := context.WithCancel(t.Context())
		var working sync.WaitGroup
		for i := range f.replicas {
			own := *s
			dice := rand.New(rand.NewPCG(1, uint64(i)))
			var mu sync.Mutex
			roll := func(n int64) int64 {
				mu.Lock()
				defer mu.Unlock()
				return dice.Int64N(n)
			}
			if f.redis > 0 {
				own.rdb = connect(t, s.addr)
				own.rdb.AddHook(hook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
					time.Sleep(time.Duration(roll(int64(f.redis))))
					return next(ctx, cmd)
				}))
				own.rdb.AddHook(s.clock)
			}
			next := func() *jobs.Call {
				c := newCall(fmt.Sprint("worker", i))
				if f.sizes > 0 {
					c.Input, c.Output = 50+roll(f.sizes), 200
				}
				return c
			}
			r := own.replica(t, fmt.Sprint("worker", i), f.configured)
			working.Go(func() { r.slots(ctx, 16, p, next) })
		}
		time.Sleep(5 * time.Second)
		measure(t, p)
		cancel()
		working.Wait()
	})
}

func TestFleetUsesItsQuotaUpAndDoesNotRunIntoIt(t *testing.T) {
	requests := func(n int64) Quota { return Quota{RequestsPerMinute: n} }
	tests := []struct {
		name     string
		fleet    fleet
		most429s float64
	}{
		{"exact", fleet{4, requests(600), &provider{requests: of(600, 600)}, 0, 0}, 0.001},
		{"exact, no headers", fleet{4, requests(600), &provider{requests: of(600, 60), silent: true}, 0, 0}, 0.001},
		{"configured 5% too high", fleet{4, requests(630), &provider{requests: of(600, 600)}, 0, 0}, 0.005},
		{"small bucket", fleet{4, requests(600), &provider{requests: of(600, 10)}, 0, 0}, 0.005},
		{"tokens of many sizes, eight replicas", fleet{8, Quota{TokensPerMinute: 200_000}, &provider{tokens: of(200_000, 6667)}, 0, 220}, 0.001},
		{"and a slow Redis", fleet{8, Quota{TokensPerMinute: 200_000}, &provider{tokens: of(200_000, 6667)}, 100 * time.Millisecond, 220}, 0.001},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.fleet.play(t, func(t *testing.T, p *provider) {
				u := p.measure(30 * time.Second)
				if u.share < 0.993 || u.limited > tt.most429s || u.fair < 0.98 {
					t.Errorf("%.1f %% used, %.2f %% 429s, Jain's index %.3f", 100*u.share, 100*u.limited, u.fair)
				}
			})
		})
	}
}

// Where neither configuration nor headers know the limit, 429s teach it: of
// requests or of tokens, whether they say which or not.
func TestLimitThatNobodyKnowsIsFoundAndFoundAgain(t *testing.T) {
	tests := []struct {
		name     string
		provider *provider
	}{
		{"of requests", &provider{requests: of(300, 10)}},
		{"of tokens", &provider{tokens: of(60_000, 2000)}},
		{"of tokens, and the provider says so", &provider{tokens: of(60_000, 2000), names: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := fleet{replicas: 2, provider: tt.provider, sizes: 220}
			f.provider.silent = true
			f.play(t, func(t *testing.T, p *provider) {
				found := func(when string) {
					time.Sleep(30 * time.Second)
					u := p.measure(40 * time.Second)
					if u.share < 0.85 || u.limited > 0.08 || u.fair < 0.98 {
						t.Errorf("%s: %.1f %% used, %.2f %% 429s, Jain's index %.3f", when, 100*u.share, 100*u.limited, u.fair)
					}
				}
				found("at first")
				p.change(0.5)
				found("once it has halved")
				p.change(2)
				found("once it has doubled")
			})
		})
	}
}

// change multiplies the limits.
func (p *provider) change(by float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range []*bucket{&p.requests, &p.tokens} {
		b.perMinute *= by
		b.size *= by
		b.left *= by
	}
}
