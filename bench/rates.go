package main

import (
	"context"
	"fmt"
)

// The sizes of a document, in bytes.
const (
	body  = 300
	large = 2048 // where Drover is compared with others
)

// rates is one worker process against a model without latency, and what is
// left when the model is answered inside the process: Drover itself.
func (b *bench) rates(ctx context.Context) error {
	b.table.heading(fmt.Sprintf("one worker process, every guard on, jobs of %s bytes", number(large)))
	n := b.fewer(20_000, 3_000)
	for _, k := range b.kinds(realSynced, realUnsynced, embeddedOnes) {
		for _, slots := range b.most([]int{64, 256}) {
			if err := b.rate(ctx, k, n, slots); err != nil {
				return err
			}
		}
	}
	return nil
}

// rate measures the pair with the same servers and slots, and the yardstick.
func (b *bench) rate(ctx context.Context, k kind, n, slots int) error {
	t := task{Role: "work", Jobs: n, Slots: slots, Body: large}
	sides := []side{b.side(k, nil, t), b.side(k, &task{}, t)}
	if k != embeddedOnes {
		yard := t
		yard.Role = "bare"
		sides = append(sides, b.side(k, nil, yard))
	}
	best, err := b.best(ctx, sides...)
	if err != nil {
		return err
	}
	where := fmt.Sprintf("%d in flight, %s", slots, k)
	var bare stage
	if k != embeddedOnes {
		bare = best[2].Answered
		b.table.add(row{what: "bare JetStream consume, publish, acknowledge: " + where, figure: perSecond(bare, "jobs"), stage: bare})
	}
	stubbed, called := best[0].Answered, best[1].Answered
	calls := float64(best[1].Calls) / float64(n)
	b.table.add(row{"model stubbed out: " + where, perSecond(stubbed, "jobs"), stubbed, share(stubbed.rate(), bare.rate(), "the bare loop")})
	b.table.add(row{"model over HTTP: " + where, perSecond(called, "jobs"), called, fmt.Sprintf("%.3f Redis calls a job", calls)})
	switch {
	case k == realSynced && slots == 256:
		b.table.reached(aimRate, called.rate())
		b.table.reached(aimStubbed, 100*stubbed.rate()/bare.rate())
	case k == realUnsynced && slots == 256:
		b.table.reached(aimStubbedFree, 100*stubbed.rate()/bare.rate())
	}
	if k != embeddedOnes {
		b.table.reached(aimCalls, calls)
	}
	return nil
}

// side is one of those that are compared.
type side func(context.Context) (*report, error)

func (b *bench) side(k kind, model *task, t task) side {
	return func(ctx context.Context) (*report, error) {
		b.say("%s: %d jobs, %d slots, %s", t.Role, t.Jobs, t.Slots, k)
		return b.measure(ctx, k, model, t)
	}
}

// best measures all sides in turn, as often as the user wants, and keeps the
// fastest of each: noise only ever slows down.
func (b *bench) best(ctx context.Context, sides ...side) ([]*report, error) {
	best := make([]*report, len(sides))
	for range b.repeat {
		for i, side := range sides {
			r, err := side(ctx)
			if err != nil {
				return nil, err
			}
			if best[i] == nil || r.Answered.rate() > best[i].Answered.rate() {
				best[i] = r
			}
		}
	}
	return best, nil
}
