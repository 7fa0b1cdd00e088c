package wire

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/resilience"
)

// In a bubble everything that is woken by one event runs at one moment, in an
// order that is the scheduler's own. A world whose messages take time therefore
// spreads what the jobs of a process do next over different moments, chosen by
// job and occasion, and draws what is random by the same. Then the same seed
// makes the same world.

// pace spreads a process's doings. It is taken from what makes up a worker.
func (w *world) pace(m *member) {
	if w.latency == 0 {
		return
	}
	p := &pace{process: m.name, asked: map[string]int{}}
	m.lendAs(func(d jobs.Delivery) jobs.Delivery { return &pacedDelivery{d, p} })
	m.worker.Pool.Random = p.random
	for _, c := range m.worker.chains {
		r := record(c.Gate)
		r.Admission = &pacedAdmission{r.Admission, p}
		c.Gate = &pacedGate{c.Gate, p}
		c.Retry.Random = p.random
		for i := range c.Links {
			c.Links[i].Asker = &pacedAsker{c.Links[i].Asker, p}
		}
	}
}

// pacedAsker spreads the answers, after which slots are given back. A job is
// known by what it asks.
type pacedAsker struct {
	resilience.Asker
	pace *pace
}

// Ask implements resilience.Asker.
func (a *pacedAsker) Ask(ctx context.Context, r *jobs.Request, most int) (*jobs.Answer, error) {
	answer, err := a.Asker.Ask(ctx, r, most)
	asked := string(r.Body)
	for _, m := range r.Messages {
		asked += m.Text
	}
	a.pace.step("answered", jobs.ID(asked))
	return answer, err
}

type pace struct {
	process string

	mu    sync.Mutex
	asked map[string]int // calls by job
}

// spread is the most that anything is put off.
const spread = 5 * time.Millisecond

// step waits for the moment that is the job's own.
func (p *pace) step(occasion string, job jobs.ID) {
	time.Sleep(time.Duration(number(p.process, occasion, string(job), time.Now().String()) % uint64(spread)))
}

// random is math/rand's Float64, drawn by who asks and when.
func (p *pace) random() float64 {
	return float64(number(p.process, time.Now().String())>>11) / (1 << 53)
}

// number is drawn by what is given.
func number(by ...string) uint64 {
	h := fnv.New64a()
	for _, text := range by {
		_, _ = h.Write([]byte(text + "\x00"))
	}
	n := h.Sum64() // whose low bits alone are not mixed well
	n ^= n >> 32
	return n * 0x9e3779b97f4a7c15
}

// pacedGate also names calls by their job.
type pacedGate struct {
	resilience.Admission
	pace *pace
}

// Enter implements resilience.Admission.
func (g *pacedGate) Enter(ctx context.Context, c *jobs.Call) (resilience.Pass, error) {
	g.pace.mu.Lock()
	g.pace.asked[string(c.Job)]++
	n := g.pace.asked[string(c.Job)]
	g.pace.mu.Unlock()
	name := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d/%d", c.Worker, c.Job, c.Run, n))
	c.ID = hex.EncodeToString(name[:13])
	g.pace.step("enter", c.Job)
	pass, err := g.Admission.Enter(ctx, c)
	g.pace.step("entered", c.Job)
	return pass, err
}

// pacedAdmission spreads the calls that were admitted together, before they are
// put on record.
type pacedAdmission struct {
	resilience.Admission
	pace *pace
}

// Enter implements resilience.Admission.
func (a *pacedAdmission) Enter(ctx context.Context, c *jobs.Call) (resilience.Pass, error) {
	pass, err := a.Admission.Enter(ctx, c)
	a.pace.step("admitted", c.Job)
	return pass, err
}

// Leave implements resilience.Admission: of those, too, that could not be put
// on record.
func (a *pacedAdmission) Leave(ctx context.Context, c *jobs.Call, attempt *jobs.Attempt) error {
	a.pace.step("leaving", c.Job)
	return a.Admission.Leave(ctx, c, attempt)
}

// record is what puts calls on record.
func record(gate resilience.Admission) *recorded {
	if s, ok := gate.(*sheltered); ok {
		gate = s.Admission
	}
	return gate.(*recorded)
}

// Leave implements resilience.Admission.
func (g *pacedGate) Leave(ctx context.Context, c *jobs.Call, a *jobs.Attempt) error {
	g.pace.step("leave", c.Job)
	defer g.pace.step("left", c.Job)
	return g.Admission.Leave(ctx, c, a)
}

type pacedDelivery struct {
	jobs.Delivery
	pace *pace
}

func (d *pacedDelivery) step(occasion string) { d.pace.step(occasion, d.Job().ID) }

// Settled implements jobs.Delivery.
func (d *pacedDelivery) Settled(ctx context.Context) (bool, error) {
	d.step("look")
	defer d.step("looked")
	return d.Delivery.Settled(ctx)
}

// Done implements jobs.Delivery.
func (d *pacedDelivery) Done(ctx context.Context, o *jobs.Outcome) error {
	d.step("done")
	return d.Delivery.Done(ctx, o)
}

// Bury implements jobs.Delivery.
func (d *pacedDelivery) Bury(ctx context.Context, o *jobs.Outcome) error {
	d.step("bury")
	return d.Delivery.Bury(ctx, o)
}

// Defer implements jobs.Delivery.
func (d *pacedDelivery) Defer(ctx context.Context, wait time.Duration, attempts []jobs.Attempt) error {
	d.step("defer")
	return d.Delivery.Defer(ctx, wait, attempts)
}

// Return implements jobs.Delivery.
func (d *pacedDelivery) Return(ctx context.Context, attempts []jobs.Attempt) error {
	d.step("return")
	return d.Delivery.Return(ctx, attempts)
}

// Release implements jobs.Delivery.
func (d *pacedDelivery) Release(ctx context.Context) error {
	d.step("release")
	return d.Delivery.Release(ctx)
}
