package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/embedded"
	"github.com/drover-batch/drover/internal/natstest"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
)

// shipped is a fleet's servers with the shipped permissions: of its batches, one
// is at work and one is over, with a dead letter.
type shipped struct {
	*testing.T
	url, redis, config string
}

func newShipped(t *testing.T) *shipped {
	t.Helper()
	server := natstest.Shipped(t, "../../deploy/config/nats.conf")
	memory, err := embedded.StartRedis(embedded.RedisConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(memory.Close)
	h := &shipped{t, server.ClientURL(), memory.URL(), filepath.Join(t.TempDir(), "drover.yaml")}
	h.must(os.WriteFile(h.config, []byte("models: {m: {provider: simulator, price: {input: 1, output: 2}}}\nbudgets: [{tenant: acme, window: day, limit: 1}]\n"), 0o600))
	cfg, err := config.Load(config.Source{Path: h.config, Environ: []string{"NATS_URL=" + h.as("admin"), "REDIS_URL=" + h.redis}})
	h.must(err)
	s, err := wire.Setup(t.Context(), cfg)
	h.must(err)
	defer func() { h.must(s.Close()) }()
	s.Embedded = true // whose sums are put into Redis without a worker
	_, err = s.Sums(t.Context())
	h.must(err)
	for _, id := range []string{"over-1", "live-1"} {
		w, err := s.Queue.Enqueue(t.Context(), &jobs.Batch{ID: id, Name: id, Tenant: "acme", Chain: "default", Created: time.Now()})
		h.must(err)
		h.must(w.Add(t.Context(), "a.txt", jobs.Document{Body: []byte("text")}))
		h.must(w.Close(t.Context()))
		if id == "over-1" {
			h.bury(s)
		}
	}
	return h
}

// bury ends the one job there is as a dead letter.
func (h *shipped) bury(s *wire.Servers) {
	h.Helper()
	source, err := s.Queue.Source("w")
	h.must(err)
	defer func() { h.must(source.Close()) }()
	lent, err := source.Next(h.Context(), 1)
	h.must(err)
	o := jobs.NewOutcome(lent[0].Job(), lent[0].Batch(), jobs.Dead, nil)
	o.Kind = jobs.Refused
	h.must(lent[0].Bury(h.Context(), o))
}

func (h *shipped) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *shipped) as(user string) string {
	return strings.Replace(h.url, "nats://", "nats://"+user+":"+user+"@", 1)
}

// TestWhatNATSDoesNotLetAUserDoIsSaidAtOnce runs commands as each of the users of
// the shipped configuration.
func TestWhatNATSDoesNotLetAUserDoIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		command string
		may     string
		denied  map[string]string // by user, which subject
	}{
		{"status", "admin enqueue worker", nil},
		{"budget list", "admin enqueue worker", nil},
		{"pause live-1", "admin enqueue worker", nil},
		{"budget set live-1 5", "admin enqueue worker", nil},
		{"budget set acme/day 5", "admin enqueue", map[string]string{"worker": "$KV.DROVER_SETTINGS."}},
		{"dead replay over-1", "admin enqueue", map[string]string{"worker": "drover."}},
		{"dead drop over-1", "admin enqueue worker", nil},
		{"remove over-1", "admin", map[string]string{"enqueue": "$JS.API.STREAM.PURGE.DROVER_OUTCOMES", "worker": "$JS.API.STREAM.PURGE.DROVER_OUTCOMES"}},
		{"cancel live-1", "admin worker", map[string]string{"enqueue": "drover.outcomes."}},
		{"submit ../../examples/contracts", "admin enqueue", map[string]string{"worker": "drover."}},
	} {
		t.Run(strings.ReplaceAll(row.command, "/", "-"), func(t *testing.T) {
			t.Parallel()
			h := newShipped(t)
			for user, subject := range row.denied {
				began := time.Now()
				code, said := h.enqueue(user, row.command)
				want := "enqueue: NATS does not let this user publish on " + subject
				if took := time.Since(began); code != exitFailed || !strings.HasPrefix(said, want) || strings.Count(said, "\n") != 1 || took > 20*time.Second {
					t.Errorf("%s: exit code %d after %s:\n%s", user, code, took, said)
				}
				for _, id := range []string{"over-1", "live-1"} {
					if code, said := h.enqueue("admin", "status "+id); code != 0 || strings.Contains(said, "cancelled") {
						t.Errorf("%s has done half of it to %s: %s", user, id, said)
					}
				}
			}
			for user := range strings.FieldsSeq(row.may) {
				if code, said := h.enqueue(user, row.command); code != 0 {
					t.Errorf("%s: exit code %d:\n%s", user, code, said)
				}
			}
		})
	}
}

// enqueue runs a command as a user, and returns what it said.
func (h *shipped) enqueue(user, command string) (code int, said string) {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), 30*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	code = run(ctx, append(strings.Fields(command), "--nats", h.as(user), "--redis", h.redis, "--config", h.config), nil, &out, &errs)
	return code, errs.String() + out.String()
}
