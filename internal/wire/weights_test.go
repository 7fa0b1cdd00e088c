package wire

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/racing"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
)

var everyWay = flag.Bool("partings", false, "share a quota in every way, rather than in a few")

// partner is a batch that shares a quota with others.
type partner struct {
	tenant string
	weight int
	words  int // of each document, besides a few
}

// parting is a quota that batches share.
type parting struct {
	partners []partner
	limit    simulator.Limit
	replicas int
	slots    int // of all replicas
}

func (p *parting) String() string {
	var b strings.Builder
	for _, one := range p.partners {
		fmt.Fprintf(&b, "%s %d", one.tenant, one.weight)
		if one.words > 0 {
			fmt.Fprintf(&b, " of %d words", one.words)
		}
		b.WriteString(", ")
	}
	fmt.Fprintf(&b, "%d requests, %d tokens, %d replicas, %d slots", p.limit.RequestsPerMinute, p.limit.TokensPerMinute, p.replicas, p.slots)
	return b.String()
}

// due is what part of the quota each partner is to have.
func (p *parting) due() []float64 {
	weights := map[string]int{}
	for _, b := range p.partners {
		weights[b.tenant] += b.weight
	}
	due := make([]float64, len(p.partners))
	for i, b := range p.partners {
		due[i] = float64(b.weight) / float64(weights[b.tenant]) / float64(len(weights))
	}
	return due
}

// settling is until a parting is measured: by then the head starts are over.
const settling = 20 * time.Second

// parted is how long it is measured, longer where the smallest part is a hundred
// calls a minute: five more or less are five per cent.
func (p *parting) parted() time.Duration {
	if slices.Min(p.due()) < 0.2 {
		return 90 * time.Second
	}
	return time.Minute
}

// documents are more than a partner can have asked about.
func (p *parting) documents(b partner, due float64) []string {
	perMinute := float64(p.limit.RequestsPerMinute)
	if t := p.limit.TokensPerMinute; t > 0 {
		perMinute = float64(t) / float64(40+b.words)
	}
	n := 60 + p.slots + int(1.1*due*perMinute*(settling+p.parted()).Minutes())
	return slices.Repeat([]string{strings.Repeat("Whereas they met. ", b.words/3) + "."}, n)
}

// size is what a call took of the quota.
func (p *parting) size(e simulator.Entry) float64 {
	size := 0.0
	if n := p.limit.RequestsPerMinute; n > 0 {
		size = 1 / float64(n)
	}
	if n := p.limit.TokensPerMinute; n > 0 {
		size = max(size, float64(e.Input+e.Output)/float64(n))
	}
	return size
}

// play returns what part of what was used each partner had.
func (p *parting) play(w *world) []float64 {
	var ids []string
	for i, due := range p.due() {
		b := p.partners[i]
		ids = append(ids, string(rune('a'+i)))
		w.submit(jobs.Batch{ID: ids[i], Chain: "cheap", Tenant: b.tenant, Weight: b.weight}, p.documents(b, due)...)
	}
	w.start(crew(p.replicas)...)
	time.Sleep(settling)
	from, sum, used := time.Now(), 0.0, make([]float64, len(ids))
	time.Sleep(p.parted())
	for _, e := range w.provider.ours() {
		if e.At.Before(from) || e.Status != 200 {
			continue
		}
		batch, _, _ := strings.Cut(w.provider.jobs[e.Prompt], "/")
		sum += p.size(e)
		used[slices.Index(ids, batch)] += p.size(e)
	}
	for i := range used {
		used[i] /= sum
	}
	if sum < 0.99*p.parted().Minutes() {
		w.Errorf("%.1f %% of the quota was used", 100*sum)
	}
	w.giveUp(ids...)
	return used
}

// partings are ways to share a quota: a few, or all.
func partings() []parting {
	perMinute := func(n int) simulator.Limit { return simulator.Limit{RequestsPerMinute: n, Burst: atOnce} }
	tokens := func(n int) simulator.Limit { return simulator.Limit{TokensPerMinute: n, Burst: atOnce} }
	mixed := simulator.Limit{RequestsPerMinute: 600, TokensPerMinute: 160_000, Burst: atOnce}
	sizes := []partner{{"acme", 2, 30}, {"acme", 3, 120}, {"acme", 5, 300}}
	if *everyWay {
		return everyParting(perMinute, tokens, mixed, sizes)
	}
	return []parting{
		{acme(1, 4), perMinute(900), 1, 48},
		{acme(1, 2, 5), perMinute(900), 4, 48},
		{acme(2, 3, 5), perMinute(300), 2, 256}, // so many that jobs go back to the queue
		{[]partner{{"acme", 1, 0}, {"acme", 3, 0}, {"globex", 9, 0}}, perMinute(900), 2, 192},
		{[]partner{{"acme", 1, 30}, {"globex", 1, 300}}, tokens(80_000), 4, 96},
		{sizes, tokens(80_000), 1, 96},
		{sizes, mixed, 2, 192},
	}
}

func everyParting(perMinute, tokens func(int) simulator.Limit, mixed simulator.Limit, sizes []partner) (all []parting) {
	two := []partner{{"acme", 1, 0}, {"globex", 5, 0}}
	three := []partner{{"acme", 1, 0}, {"acme", 3, 0}, {"globex", 1, 0}}
	other := [][]partner{
		sizes, {{"acme", 1, 30}, {"acme", 1, 300}}, {{"acme", 1, 30}, {"acme", 3, 300}},
		{{"acme", 3, 30}, {"acme", 1, 300}}, {{"acme", 1, 30}, {"globex", 1, 300}},
	}
	for _, replicas := range []int{1, 2, 4} {
		for _, p := range [][]partner{acme(1, 1), acme(1, 2), acme(1, 3), acme(1, 4), acme(2, 3, 5), acme(1, 2, 5), two, three} {
			all = append(all, parting{p, perMinute(900), replicas, 48}, parting{p, perMinute(900), replicas, 192}, parting{p, perMinute(300), replicas, 256})
		}
		for _, p := range other {
			all = append(all, parting{p, tokens(160_000), replicas, 192}, parting{p, mixed, replicas, 192})
		}
	}
	return all
}

// acme has batches of these weights.
func acme(weights ...int) []partner {
	all := make([]partner, len(weights))
	for i, w := range weights {
		all[i] = partner{"acme", w, 0}
	}
	return all
}

// Shares of a quota used to be counted in calls, whatever their size; and a
// batch that had no call in the line when its turn came had lost it, which those
// with few slots often had.
func TestQuotaIsSharedByWeight(t *testing.T) {
	racing.Spare(t, "TestTenJobsBehindALargeBatchTakeAtMostTwiceTheirTime shares one as well")
	for _, p := range partings() {
		t.Run(p.String(), func(t *testing.T) {
			s := scene{provider: simulator.Config{Latency: time.Second, Spread: 0.2, Keep: 1 << 20, Limits: map[string]simulator.Limit{"small": p.limit}}}
			s.tune = func(c *config.Config) {
				c.Quotas = map[string]config.Quota{"small": {Requests: int64(p.limit.RequestsPerMinute), Tokens: int64(p.limit.TokensPerMinute)}}
				c.Worker.Slots = p.slots / p.replicas
			}
			inWorld(t, s, func(w *world) {
				used, text := p.play(w), ""
				for i, due := range p.due() {
					off := used[i]/due - 1
					text += fmt.Sprintf(" %+.1f", 100*off)
					if off < -0.05 || off > 0.05 {
						w.Errorf("batch %d had %.1f %% of the quota, want %.1f %%", i, 100*used[i], 100*due)
					}
				}
				t.Log("in per cent off", text)
			})
		})
	}
}
