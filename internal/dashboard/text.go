package dashboard

import (
	"fmt"
	"time"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/resilience"
)

// Cost is what the batch has cost, or why that is not said.
func (b *batchView) Cost() string {
	switch {
	case !b.Priced:
		return "not known now"
	case b.Spent == 0 && b.Unpriced:
		return "unknown"
	}
	return b.Spent.Short()
}

// Projected is what all of the batch will have cost, going by what is done.
func (b *batchView) Projected() string {
	if done := b.Done(); b.Spent > 0 && done > 0 && done < b.Total && b.State != jobs.Enqueueing {
		return jobs.USD(float64(b.Spent) / float64(done) * float64(b.Total)).Short()
	}
	return ""
}

// Rate is how many jobs of it end in a second.
func (b *batchView) Rate() string { return rateText(b.Track.rate()) }

// ETA is how long the rest takes at this rate, "" if nobody knows.
func (b *batchView) ETA() string {
	left, rate := b.Queued+b.Running, b.Track.rate()
	if left == 0 || rate == 0 || b.State != jobs.Live {
		return ""
	}
	return short(time.Duration(float64(left) / rate * float64(time.Second)))
}

// Live reports whether the batch may be paused, and Ended whether nothing can be
// done to it any more.
func (b *batchView) Live() bool  { return b.State == jobs.Live || b.State == jobs.Enqueueing }
func (b *batchView) Ended() bool { return b.State == jobs.Finished || b.State == jobs.Cancelled }

// Percent is how much of it is done.
func (b *batchView) Percent() float64 { return share(float64(b.Done()), float64(b.Total)) }

// share is a part of a whole in percent, 0 of nothing.
func share(part, whole float64) float64 {
	if whole <= 0 {
		return 0
	}
	return min(100, 100*part/whole)
}

func rateText(perSecond float64) string {
	switch {
	case perSecond == 0:
		return "–"
	case perSecond < 1:
		return fmt.Sprintf("%.1f/min", 60*perSecond)
	case perSecond < 100:
		return fmt.Sprintf("%.1f/s", perSecond)
	}
	return jobs.Grouped(int64(perSecond)) + "/s"
}

// short shows a duration with as little precision as a person needs.
func short(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()+0.5))
	case d < 100*time.Minute:
		return fmt.Sprintf("%d min", int(d.Minutes()+0.5))
	case d < 72*time.Hour:
		return fmt.Sprintf("%.1f h", d.Hours())
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24+0.5))
}

// quotaView is a quota with the models that share it.
type quotaView struct {
	Name     string
	InFlight int64
	Most     int64 // calls at the same time, 0 for no limit
	Flows    []flowView
	Notes    []string
}

// flowView is what is used of a quota's requests or tokens, a minute.
type flowView struct {
	What  string
	Used  float64
	Limit int64
	By    string // who says so
}

// Percent is how much of the limit is used.
func (f flowView) Percent() float64 { return share(f.Used, float64(f.Limit)) }

// Text says how much is used of how much.
func (f flowView) Text() string {
	used := jobs.Grouped(int64(f.Used+0.5)) + " " + f.What + "/min"
	switch f.By {
	case "":
		return used + ", no limit known"
	case "configured":
		return used + " of " + jobs.Grouped(f.Limit)
	}
	return used + " of " + jobs.Grouped(f.Limit) + ", as " + f.By + " tell"
}

// Quotas are those of the models, in the order of their names.
func (v *view) Quotas() []*quotaView {
	var all []*quotaView
	seen := map[string]bool{}
	for _, m := range v.Models {
		if seen[m.Quota.Name] {
			continue
		}
		seen[m.Quota.Name] = true
		q := &quotaView{Name: m.Quota.Name, InFlight: m.Quota.InFlight, Most: m.Configured.Concurrent, Notes: m.QuotaNotes()}
		q.Flows = []flowView{
			flowOf("requests", m.Quota.Requests, m.Configured.RequestsPerMinute),
			flowOf("tokens", m.Quota.Tokens, m.Configured.TokensPerMinute),
		}
		all = append(all, q)
	}
	return all
}

func flowOf(what string, f resilience.Flow, configured int64) flowView {
	limit, by := f.Limit(configured)
	return flowView{what, f.Asked, limit, by}
}

// InFlight is how many calls the fleet has in flight.
func (v *view) InFlight() int64 {
	n := int64(0)
	for _, q := range v.Quotas() {
		n += q.InFlight
	}
	return n
}

// Workers is how many workers have heard of a model in the last minute, of the
// model most did.
func (v *view) Workers() int {
	n := 0
	for _, m := range v.Models {
		n = max(n, m.Circuit.Workers)
	}
	return n
}

// Left is how many jobs have no outcome yet.
func (v *view) Left() int64 {
	n := int64(0)
	for _, b := range v.Batches {
		n += b.Queued + b.Running
	}
	return n
}

// ETA is how long all of that takes at the present rate.
func (v *view) ETA() string {
	if left, rate := v.Left(), v.Fleet.rate(); left > 0 && rate > 0 {
		return short(time.Duration(float64(left) / rate * float64(time.Second)))
	}
	return "–"
}

// HiddenText says how many batches are not shown.
func (v *view) HiddenText() string {
	if v.Hidden == 1 {
		return "1 older batch is not shown"
	}
	return jobs.Grouped(int64(v.Hidden)) + " older batches are not shown"
}

func budgetName(s budget.Sum) string {
	name, _ := s.Budget()
	return name
}

// spentBar, heldBar are the parts of a limit in percent.
func spentBar(s budget.Sum) float64 { return share(float64(s.Spent), float64(s.Limit)) }
func heldBar(s budget.Sum) float64 {
	return min(100-spentBar(s), share(float64(s.Held), float64(s.Limit)))
}
