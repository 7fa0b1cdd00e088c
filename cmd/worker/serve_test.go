package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/wire"
)

// address waits for what the log says of the health checks.
type address struct{ told chan string }

func (a address) Write(entry []byte) (int, error) {
	var e struct{ Address, Message string }
	if json.Unmarshal(entry, &e) == nil && e.Message == "health checks and metrics" {
		a.told <- e.Address
	}
	return len(entry), nil
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// beginning is a worker that waits, for 20 s, for another one that rebuilds the
// sums of the budgets.
type beginning struct {
	url   string
	stop  func()
	ended chan int
}

func begin(t *testing.T) *beginning {
	t.Helper()
	for _, name := range []string{"NATS_URL", "REDIS_URL", "DROVER_CONFIG"} {
		t.Setenv(name, "")
	}
	data := t.TempDir()
	cfg, err := config.Load(config.Source{Environ: []string{"DROVER_WORKER_DATA=" + data}})
	if err != nil {
		t.Fatal(err)
	}
	servers, err := wire.Embed(t.Context(), cfg, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := servers.Close(); err != nil {
			t.Error(err)
		}
	})
	until := time.Now().Add(20 * time.Second).UnixMicro()
	if err := servers.Redis.HSet(t.Context(), "{drover}:ledger:rebuild", "owner", "other", "until", until).Err(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	b := &beginning{stop: stop, ended: make(chan int, 1)}
	log := address{make(chan string, 1)}
	go func() {
		b.ended <- run(ctx, []string{"--data", data, "--http", "127.0.0.1:0", "--log", "json"}, io.Discard, log)
	}()
	select {
	case addr := <-log.told:
		b.url = "http://" + addr
	case code := <-b.ended:
		t.Fatalf("it ended at once, with %d", code)
	}
	return b
}

// Whoever watches over a worker would end it, if it said nothing for minutes.
func TestWorkerThatReadsBackWhatWasSpentIsAliveAndNotReady(t *testing.T) {
	b := begin(t)
	if status, body := get(t, b.url+"/healthz"); status != http.StatusOK {
		t.Errorf("healthz: %d %s", status, body)
	}
	if status, body := get(t, b.url+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "the worker begins") {
		t.Errorf("readyz: %d %s", status, body)
	}
	b.stop()
	if code := <-b.ended; code != 1 {
		t.Errorf("it ended with %d", code)
	}
}

func TestLogHasTheLinesOfItsLevelAndAbove(t *testing.T) {
	t.Parallel()
	for level, want := range map[string]string{"debug": "a job, the batch, the disk, ", "info": "the batch, the disk, ", "warn": "the disk, ", "error": ""} {
		var out strings.Builder
		s := serving{err: &out, log: "json", logLevel: level}
		log, err := s.logger()
		if err != nil {
			t.Fatal(err)
		}
		log.Debug().Msg("a job")
		log.Info().Msg("the batch")
		log.Warn().Msg("the disk")
		var got strings.Builder
		for line := range strings.Lines(out.String()) {
			var said struct{ Message string }
			if err := json.Unmarshal([]byte(line), &said); err != nil {
				t.Fatal(err)
			}
			got.WriteString(said.Message + ", ")
		}
		if got.String() != want {
			t.Errorf("%s: %q, want %q", level, got.String(), want)
		}
	}
	for _, level := range []string{"", "trace", "fatal", "disabled", "loud"} {
		if _, err := (&serving{err: io.Discard, log: "json", logLevel: level}).logger(); err == nil || !strings.Contains(err.Error(), "use debug, info, warn or error") {
			t.Errorf("%q: %v", level, err)
		}
	}
}
