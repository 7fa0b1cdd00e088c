package queue

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/drover-batch/drover/internal/natstest"
	"github.com/drover-batch/drover/jobs"
)

// startCluster starts three servers in this process, in real time, and returns
// a queue of three replicas, as seen over each of them.
func startCluster(t *testing.T) []*Queue {
	t.Helper()
	var queues []*Queue
	for i, srv := range natstest.StartCluster(t).Servers {
		nc, err := nats.Connect("", nats.InProcessServer(srv))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		for until := time.Now().Add(30 * time.Second); i == 0; time.Sleep(50 * time.Millisecond) {
			if err = Create(t.Context(), nc, Config{Replicas: 3}); err == nil {
				break
			}
			if time.Now().After(until) {
				t.Fatal(err)
			}
		}
		q, err := Open(t.Context(), nc, Config{})
		if err != nil {
			t.Fatal(err)
		}
		queues = append(queues, q)
	}
	return queues
}

// TestWorkerOfAnotherConfigurationTakesNoReplicasAway has one start that was not
// told of the three.
func TestWorkerOfAnotherConfigurationTakesNoReplicasAway(t *testing.T) {
	t.Parallel()
	q := startCluster(t)[0]
	if err := Complete(t.Context(), q.nc, Config{}); err != nil {
		t.Fatal(err)
	}
	for s := range q.js.ListStreams(t.Context()).Info() {
		if s.Config.Replicas != 3 {
			t.Errorf("%s has %d replicas left", s.Config.Name, s.Config.Replicas)
		}
	}
}

// TestOneOutcomeStandsInAClusterWhoseLeaderChanges has two workers store an
// outcome of each job, each three times over different servers, as it does
// whose replies are lost.
func TestOneOutcomeStandsInAClusterWhoseLeaderChanges(t *testing.T) {
	const n = 12
	t.Parallel()
	queues := startCluster(t)
	w := &world{TB: t, ctx: t.Context(), q: queues[0], nc: queues[0].nc}
	w.enqueue(batch("b"), n)
	lent := w.take(w.source("w1"), n)
	began := time.Now()
	var all sync.WaitGroup
	all.Go(func() {
		for range n {
			time.Sleep(100 * time.Millisecond)
			natstest.StepDown(w.nc, w.q.stream("OUTCOMES"))
		}
	})
	errs := make([][2][3]error, n)
	for i, d := range lent {
		for rival := range 2 {
			o := answer(d, fmt.Sprint("rival ", rival), paid(fmt.Sprint(i, "-", rival), 1, 5))
			for try, q := range queues {
				all.Go(func() {
					time.Sleep(time.Duration(i) * 100 * time.Millisecond)
					errs[i][rival][try] = q.Settle(t.Context(), d.Job(), o)
				})
			}
		}
	}
	all.Wait()
	t.Logf("it took %v", time.Since(began).Round(time.Millisecond))
	outcomes := w.outcomes("b")
	for i, d := range lent {
		for rival, tries := range errs[i] {
			won := outcomes[d.Job().CustomID].Worker == fmt.Sprint("rival ", rival)
			for _, err := range tries {
				if won && err != nil || !won && !errors.Is(err, jobs.ErrSettled) {
					t.Errorf("job %d: rival %d, who won: %v, was told %v", i, rival, won, err)
				}
			}
		}
	}
	wasted := map[string]bool{}
	for x, err := range w.q.Wastes(w.ctx, "b") {
		w.must(err)
		wasted[x.Attempts[0].Call] = true
	}
	if len(wasted) != n || len(outcomes) != n {
		t.Errorf("%d outcomes and %d wastes of %d jobs: %v", len(outcomes), len(wasted), n, wasted)
	}
	if sum := w.booked(); sum != 2*n*5 {
		t.Errorf("booked %d of %d", sum, 2*n*5)
	}
}
