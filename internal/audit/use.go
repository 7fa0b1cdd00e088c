package audit

import (
	"net/http"
	"time"

	"github.com/drover-batch/drover/llm/simulator"
)

// Use is how well a fleet gets on with a quota.
type Use struct {
	Share    float64 // of the quota, or of what others left of it, that was used
	Limited  float64 // part of the fleet's requests that were answered 429
	Fairness float64 // Jain's index over what each replica got in a second
	First    float64 // most that was asked for from the first call on, within a minute, of what the quota gives in that time
}

// Asked is a call that reached the provider.
type Asked struct {
	simulator.Entry
	Who string // the replica, or Stranger
}

// Stranger is somebody else who uses the same key.
const Stranger = "somebody else"

// Presence is when a replica was there.
type Presence struct{ From, To time.Time }

// Meter measures a fleet by the calls that reached the provider.
type Meter struct {
	Limit simulator.Limit // in force while it measures: of requests or of tokens
	Calls []Asked         // all of them, in the order they came
	There map[string]Presence
	Since time.Time // when the first minute begins; default with the first call
}

// settled is how long a replica must have been there for its share to count.
const settled = 5 * time.Second

// Between measures the time between two moments.
func (m *Meter) Between(from, to time.Time) Use {
	var ours, theirs, refused, asked float64
	got := map[string]float64{}
	for i := range m.Calls {
		switch c := &m.Calls[i]; {
		case c.At.Before(from) || !c.At.Before(to):
		case c.Who == Stranger:
			if c.Status == http.StatusOK {
				theirs += m.size(c)
			}
		default:
			asked++
			switch c.Status {
			case http.StatusOK:
				ours += m.size(c)
				got[c.Who] += m.size(c)
			case http.StatusTooManyRequests:
				refused++
			}
		}
	}
	var rates []float64
	for who, p := range m.There {
		if d := earlier(p.To, to).Sub(later(p.From, from)); d > settled {
			rates = append(rates, got[who]/d.Seconds())
		}
	}
	return Use{
		Share: ours / (m.allowed(to.Sub(from)) - theirs), Limited: refused / max(asked, 1),
		Fairness: jain(rates), First: m.firstMinute(),
	}
}

// size is how much of the quota a call takes.
func (m *Meter) size(c *Asked) float64 {
	if m.Limit.TokensPerMinute == 0 {
		return 1
	}
	return float64(c.Input+c.Output) * max(1, m.Limit.Counts)
}

// allowed is how much the quota gives in a time.
func (m *Meter) allowed(d time.Duration) float64 {
	return float64(max(m.Limit.RequestsPerMinute, m.Limit.TokensPerMinute)) * d.Minutes()
}

// firstMinute leaves out the first ten seconds by themselves, as too few.
func (m *Meter) firstMinute() (most float64) {
	asked, first := 0.0, time.Time{}
	for i := range m.Calls {
		c := &m.Calls[i]
		if c.At.Before(m.Since) {
			continue
		}
		if first.IsZero() {
			first = c.At
		}
		since := c.At.Sub(first)
		if since > time.Minute {
			break
		}
		if c.Who != Stranger && (c.Status == http.StatusOK || m.Limit.TokensPerMinute == 0) {
			asked += m.size(c)
		}
		if since >= 10*time.Second {
			most = max(most, asked/m.allowed(since))
		}
	}
	return most
}

// jain is 1 if all have the same, and 1/n if one has all.
func jain(x []float64) float64 {
	sum, squares := 0.0, 0.0
	for _, v := range x {
		sum += v
		squares += v * v
	}
	if squares == 0 {
		return 0
	}
	return sum * sum / (float64(len(x)) * squares)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
