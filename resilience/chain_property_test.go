package resilience

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/drover-batch/drover/jobs"
)

// TestChainKeepsItsPromises runs jobs through random refusals, failures,
// panics, cancellations and lost replies. Whatever happens, each admitted call
// leaves exactly once, a job never has two live calls, a decision is exactly
// one thing, and no attempt's cost is forgotten.
func TestChainKeepsItsPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		dice := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(rt, "dice")
		synctest.Test(t, func(t *testing.T) { (&chaos{T: rt, scene: newScene(t), dice: dice}).play() })
	})
}

type chaos struct {
	*rapid.T
	scene *scene
	dice  []byte // thrown beforehand: rapid's draws panic, and the chain catches panics

	live   map[string]bool // admitted and not left
	costs  map[string]jobs.USD
	cancel context.CancelFunc
}

func (c *chaos) play() {
	s := c.scene
	c.live, c.costs = map[string]bool{}, map[string]jobs.USD{}
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	c.cancel = cancel
	stop := make(chan struct{})
	s.chain.Stopping = stop
	if c.often() {
		halt := time.AfterFunc(c.wait(), func() { close(stop) })
		defer halt.Stop()
	}
	if c.often() {
		s.task.Batch.Deadline = time.Now().Add(c.wait())
	}
	if c.often() {
		s.task.Settled = func(context.Context) (bool, error) {
			return c.seldom("settled") != nil, c.seldom("broker is away")
		}
	}
	if c.often() {
		s.task.Turn = func(context.Context, []jobs.Message) ([]jobs.Message, error) {
			c.mayPanic()
			return []jobs.Message{{Role: jobs.ToolRole}}, c.seldom("tool fails")
		}
	}
	s.task.Batch.Budget = oneOf[jobs.USD](c, 0, 1000, jobs.Dollar)
	s.task.Batch.WhenSpent = oneOf[jobs.Spent](c, "", jobs.BuryWhenSpent, jobs.ExpireWhenSpent)
	s.task.Batch.WhenLimited = oneOf[jobs.WhenLimited](c, "", jobs.WaitWhenLimited, jobs.FallBackWhenLimited)
	s.task.Batch.Degrade.Unavailable = oneOf[string](c, "", "sorry")
	s.small.script = []reply{c.reply}
	s.large.script = s.small.script
	s.chain.Gate = c
	s.T = nil // only c may fail from here on

	c.check(s.chain.Run(ctx, s.task))
}

func (c *chaos) Enter(ctx context.Context, call *jobs.Call) (Pass, error) {
	if len(c.live) > 0 {
		c.Errorf("%s enters while %v are live", call.ID, c.live)
	}
	if ctx.Err() != nil {
		return Pass{}, ctx.Err()
	}
	if err := c.seldom("gate is away"); err != nil {
		return Pass{}, err
	}
	if c.throw(3) == 2 {
		return Pass{Refusal: &Refusal{
			Guard: oneOf[string](c, BreakerGuard, LimiterGuard, LedgerGuard, ClaimGuard),
			Final: c.often(),
			Wait:  c.wait(),
			Never: c.often(), Cheaper: call.Cheaper && c.often(),
			Then: oneOf[jobs.Spent](c, "", jobs.BuryWhenSpent, jobs.ExpireWhenSpent),
		}}, nil
	}
	c.live[call.ID] = true
	return Pass{Wait: oneOf[time.Duration](c, 0, time.Second)}, nil
}

// Ahead implements Admission.
func (c *chaos) Ahead(*jobs.Call) time.Duration { return oneOf[time.Duration](c, 0, 0, 5*time.Second) }

// Due implements Admission.
func (*chaos) Due(context.Context, *jobs.Call) time.Duration { return 0 }

func (c *chaos) Leave(_ context.Context, call *jobs.Call, a *jobs.Attempt) error {
	if c.live[call.ID] && c.seldom("lost") != nil {
		return errors.New("timeout")
	}
	if _, twice := c.costs[call.ID]; twice {
		c.Errorf("%s leaves twice", call.ID)
	}
	delete(c.live, call.ID)
	c.costs[call.ID] = a.Cost
	return nil
}

func (c *chaos) reply(ctx context.Context) (*jobs.Answer, error) {
	c.mayPanic()
	if c.seldom("cancelled") != nil {
		c.cancel()
	}
	time.Sleep(c.wait() / 10)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	kind := oneOf[jobs.Kind](c, "", "", "", jobs.Timeout, jobs.ServerError, jobs.RateLimited, jobs.NoQuota,
		jobs.Refused, jobs.InvalidRequest, jobs.InvalidAnswer, jobs.Overflow)
	if kind != "" {
		return nil, &jobs.Failure{Kind: kind, RetryAfter: c.wait() / 5,
			Billing: oneOf[jobs.Billing](c, "", jobs.Billed, jobs.Presumed)}
	}
	a := said("yes")
	a.Finish = oneOf[string](c, jobs.FinishStop, jobs.FinishLength, jobs.FinishRefused, jobs.FinishTools)
	if a.Finish == jobs.FinishTools {
		a.Calls = []jobs.ToolCall{{Name: "search", Arguments: oneOf[string](c, "1", "2", "3")}}
	}
	return a, nil
}

func (c *chaos) check(d jobs.Decision) {
	if len(c.live) > 0 {
		c.Errorf("%v never left", c.live)
	}
	set, attempts := 0, d.Attempts
	if d.Outcome != nil {
		set++
		attempts = d.Outcome.Attempts
	}
	if d.Wait > 0 {
		set++
	}
	if d.Back {
		set++
	}
	if set != 1 || d.Wait < 0 {
		c.Errorf("not one decision: %+v", d)
	}
	var told, sum jobs.USD
	for _, cost := range c.costs {
		told += cost
	}
	for _, a := range attempts {
		sum += a.Cost
		if cost, ok := c.costs[a.Call]; !ok || cost != a.Cost {
			c.Errorf("the gate heard of %v for %s, the record says %v", cost, a.Call, a.Cost)
		}
	}
	if told != sum {
		c.Errorf("the gate heard of %v, the record says %v", told, sum)
	}
	if d.Outcome != nil && d.Outcome.Cost != sum {
		c.Errorf("the outcome costs %v, its attempts %v", d.Outcome.Cost, sum)
	}
}

// throw returns a number below n, and 0 when the dice are used up.
func (c *chaos) throw(n int) int {
	if len(c.dice) == 0 {
		return 0
	}
	d := c.dice[0]
	c.dice = c.dice[1:]
	return int(d) % n
}

func oneOf[T any](c *chaos, values ...T) T { return values[c.throw(len(values))] }

func (c *chaos) often() bool { return c.throw(2) == 1 }

func (c *chaos) seldom(what string) error {
	if c.throw(20) == 19 {
		return errors.New(what)
	}
	return nil
}

func (c *chaos) mayPanic() {
	if c.seldom("panics") != nil {
		panic("oh")
	}
}

func (c *chaos) wait() time.Duration {
	return oneOf[time.Duration](c, 0, time.Second, 10*time.Second, 2*time.Minute)
}
