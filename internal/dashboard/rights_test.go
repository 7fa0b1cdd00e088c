package dashboard

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/embedded"
	"github.com/drover-batch/drover/internal/natstest"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
)

// newShipped is a fleet with the permissions that are shipped, a batch at work
// with a dead letter, and boards of its users.
func newShipped(t *testing.T) (boardOf func(user string) *fleet) {
	t.Helper()
	t.Parallel()
	server := natstest.Shipped(t, "../../deploy/config/nats.conf")
	memory, err := embedded.StartRedis(embedded.RedisConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(memory.Close)
	boardOf = func(user string) *fleet {
		f := &fleet{T: t}
		cfg, err := config.Load(config.Source{Environ: []string{
			"NATS_URL=" + strings.Replace(server.ClientURL(), "nats://", "nats://"+user+":"+user+"@", 1), "REDIS_URL=" + memory.URL(),
		}})
		f.must(err)
		cfg.Budgets = []config.Budget{{Name: "acme/day", Tenant: "acme", Window: "day", Limit: jobs.Dollar}}
		reach := func() (*wire.Servers, error) { return wire.Connect(t.Context(), cfg, false) }
		if user == "admin" {
			reach = func() (*wire.Servers, error) { return wire.Setup(t.Context(), cfg) }
		}
		f.servers, err = reach()
		f.must(err)
		t.Cleanup(func() { f.must(f.servers.Close()) })
		board := httptest.NewServer(New(Config{Servers: f.servers, Every: time.Millisecond}))
		t.Cleanup(board.Close)
		f.url = board.URL
		return f
	}
	f := boardOf("admin")
	f.servers.Embedded = true // whose sums are put into Redis without a worker
	_, err = f.servers.Sums(t.Context())
	f.must(err)
	f.servers.Embedded = false
	w, err := f.servers.Queue.Enqueue(t.Context(), &jobs.Batch{ID: batchID, Name: "contracts", Tenant: "acme", Chain: "default", Created: time.Now()})
	f.must(err)
	for _, name := range []string{"a.txt", "b.txt", "c.txt"} {
		f.must(w.Add(t.Context(), name, jobs.Document{}))
	}
	f.must(w.Close(t.Context()))
	f.kill(2)
	return boardOf
}

func TestButtonsThatNATSDoesNotAllowAreNotThere(t *testing.T) {
	boardOf := newShipped(t)
	buttons := map[string][]string{ // by page
		"/batches/" + batchID: {"Pause", "Cancel the batch"},
		"/dead":               {"Replay 2", ">Replay<", "Drop 2"},
		"/":                   {"Change the limit of a budget"},
	}
	for user, denied := range map[string]string{
		"admin":   "",
		"enqueue": "Cancel the batch",
		"worker":  "Cancel the batch, Replay 2, >Replay<, Change the limit of a budget",
	} {
		f := boardOf(user)
		for path, all := range buttons {
			text, barred := f.page(path), false
			for _, button := range all {
				not := strings.Contains(denied, button)
				barred = barred || not
				if strings.Contains(text, button) == not {
					t.Errorf("%s: %q on %s, which it may not be: %v", user, button, path, not)
				}
			}
			if strings.Contains(text, "NATS does not let the user of this dashboard") != barred {
				t.Errorf("%s: %s says why something is missing, which it is: %v", user, path, barred)
			}
		}
	}
}

// TestPressThatNATSDeniesSaysSoAtOnce presses what is not on the page.
func TestPressThatNATSDeniesSaysSoAtOnce(t *testing.T) {
	boardOf := newShipped(t)
	for user, presses := range map[string][][]string{
		"enqueue": {{"/batches/" + batchID, "do", "cancel"}},
		"worker":  {{"/dead", "do", "replay"}, {"/budgets", "name", "acme/day", "limit", "5"}},
	} {
		f := boardOf(user)
		for _, press := range presses {
			began := time.Now()
			code, body := f.post(press[0], press[1:]...)
			if took := time.Since(began); code != http.StatusForbidden || !strings.Contains(body, "NATS does not let this user publish on") || took > 20*time.Second {
				t.Errorf("%s: %q: %d after %s: %s", user, press, code, took, body)
			}
			if state := f.state(); state != jobs.Live {
				t.Errorf("%s: %q: the batch is %s", user, press, state)
			}
		}
	}
}
