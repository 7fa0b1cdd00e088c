package resilience

import (
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

func TestQuotaTellsWhatItIsAskedAndWhatHeadersSay(t *testing.T) {
	underQuota(t, Quota{RequestsPerMinute: 6000}, func(t *testing.T, d *desk) {
		d.needsTime()
		said := &jobs.Quota{RequestsLimit: 5000, RequestsLeft: 2500, TokensLimit: 90_000, TokensLeft: 50_000}
		for range 200 { // ten a second, for twenty
			c := d.admit(sized("a", 30, 10))
			d.leave(c, jobs.Attempt{Usage: jobs.Usage{Input: 20, Output: 10}, Quota: said})
			d.pass(100 * time.Millisecond)
		}
		q := d.quota()
		if r := q.Requests; r.Said != 5000 || r.Asked < 590 || r.Asked > 610 || r.Sum != 200 {
			t.Errorf("requests %+v, want 600 a minute of 5000, 200 in all", r)
		}
		if r := q.Tokens; r.Said != 90_000 || r.Asked < 17_500 || r.Asked > 18_500 || r.Sum != 6000 {
			t.Errorf("tokens %+v, want 18000 a minute of 90000, 6000 in all", r)
		}
		d.pass(20 * time.Second)
		if r := d.quota().Requests; r.Asked != 0 {
			t.Errorf("%v a minute though nobody has asked for 20 s", r.Asked)
		}
	})
}

func TestQuotaNobodyAskedHasItsLimitWhole(t *testing.T) {
	underQuota(t, Quota{}, func(t *testing.T, d *desk) {
		if q := d.quota(); q != (QuotaState{Name: "small", Share: 1}) {
			t.Errorf("got %+v", q)
		}
	})
}

func TestLimitIsTheLowerOfWhatIsConfiguredAndSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		flow       Flow
		configured int64
		limit      int64
		by         string
	}{
		{Flow{}, 0, 0, ""},
		{Flow{Found: 412.7}, 0, 412, "429s"},
		{Flow{Found: 412.7}, 600, 600, "configured"},
		{Flow{Said: 500}, 600, 500, "headers"},
		{Flow{Said: 700}, 600, 600, "configured"},
		{Flow{Said: 10_000}, 600, 600, "configured"}, // of another window
		{Flow{Said: 500, Found: 400}, 0, 500, "headers"},
	} {
		if limit, by := c.flow.Limit(c.configured); limit != c.limit || by != c.by {
			t.Errorf("%+v with %d configured: %d by %q, want %d by %q", c.flow, c.configured, limit, by, c.limit, c.by)
		}
	}
}
