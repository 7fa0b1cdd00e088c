package queue

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// A claim whose renewal was answered by nobody could not be renewed any more,
// lapsed, and another job paid for the same request.
func TestClaimWhoseRenewalLostItsReplyIsKept(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		l := &line{}
		nc := w.connect(l)
		defer nc.Close()
		c, _, err := w.open(nc).Claim(w.ctx, "request", jobs.NewID("b", "0"), 30*time.Second)
		w.must(err)
		l.deaf.Store(true)
		if err := c.Renew(w.ctx, 30*time.Second); err == nil {
			t.Error("nothing was lost")
		}
		l.cut()
		time.Sleep(2 * time.Second)
		w.must(c.Renew(w.ctx, 30*time.Second))
		w.must(c.Release(w.ctx))
		_, fresh, err := w.q.Claim(w.ctx, "request", jobs.NewID("b", "1"), 30*time.Second)
		if err != nil || !fresh {
			t.Errorf("it is not let go of: %v", err)
		}
	})
}

// A claim was taken for lapsed by the clock of whoever looked: where the
// claimant's was behind, its request was paid for again.
func TestClaimOfAClockThatIsBehindIsKept(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		const lease = 30 * time.Second
		behind, err := json.Marshal(claimant{Job: jobs.NewID("b", "0"), Until: time.Now().Add(lease - time.Hour)})
		w.must(err)
		key := "claim-" + cacheKey("request")
		taken := func() bool {
			_, fresh, err := w.q.Claim(w.ctx, "request", jobs.NewID("b", "1"), lease)
			if err != nil && !errors.Is(err, ErrClaimed) || fresh {
				t.Fatalf("fresh %v, %v", fresh, err)
			}
			return err == nil
		}
		for range 10 {
			_, err = w.q.cache.Put(w.ctx, key, behind) // it is claimed, and renewed
			w.must(err)
			for range 5 {
				if taken() {
					t.Fatal("it was taken from its claimant, who is alive")
				}
				time.Sleep(2 * time.Second)
			}
		}
		time.Sleep(lease)
		if !taken() {
			t.Error("its claimant is dead, and still has it")
		}
	})
}

func TestClaimThatAnotherJobHasIsNotRenewed(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		const lease = 30 * time.Second
		claim := func(id string) (*Claim, error) {
			c, _, err := w.q.Claim(w.ctx, "request", jobs.NewID("b", id), lease)
			return c, err
		}
		slow, err := claim("0")
		w.must(err)
		if _, err := claim("1"); !errors.Is(err, ErrClaimed) {
			t.Errorf("claimed by another: %v", err)
		}
		time.Sleep(lease)
		other, err := claim("1")
		w.must(err)
		if err := slow.Renew(w.ctx, lease); err == nil {
			t.Error("the claim was taken back")
		}
		w.must(other.Renew(w.ctx, lease))
	})
}

func TestJobThatComesBackHasItsClaimAtOnce(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		for want := range 2 { // its worker died meanwhile
			_, fresh, err := w.q.Claim(w.ctx, "request", jobs.NewID("b", "0"), 30*time.Second)
			if err != nil || fresh != (want == 0) {
				t.Errorf("fresh: %v, %v", fresh, err)
			}
		}
	})
}
