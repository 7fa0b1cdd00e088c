package wire

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// listener is a webhook that answers with each of the codes in turn, the last
// for ever, and remembers what it was sent.
func listener(t *testing.T, codes ...int) (*webhook, chan string) {
	t.Helper()
	got, n := make(chan string, 10), 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r.Method + " " + r.Header.Get("Content-Type") + " " + r.Header.Get("Authorization") + " " + string(body)
		w.Header().Set("Location", "/elsewhere")
		w.Header().Set("Connection", "close") // in a world nobody waits for idle ones to end
		w.WriteHeader(codes[min(n, len(codes)-1)])
		n++
	}))
	t.Cleanup(s.Close)
	return &webhook{
		url: s.URL + "/hook/canary", secret: jobs.NewSecret("hush"),
		client: s.Client(), waits: []time.Duration{time.Millisecond, time.Millisecond},
	}, got
}

func TestWebhookIsTriedAgain(t *testing.T) {
	t.Parallel()
	h, got := listener(t, 503, 200)
	if err := h.post(t.Context(), []byte(`{"share":0.8}`)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if sent := <-got; sent != `POST application/json Bearer hush {"share":0.8}` {
			t.Errorf("sent %s", sent)
		}
	}
	if len(got) > 0 {
		t.Errorf("sent again after it was taken: %s", <-got)
	}
}

func TestWebhookIsGivenUpWithoutItsAddress(t *testing.T) {
	t.Parallel()
	h, got := listener(t, 500)
	if err := h.post(t.Context(), nil); err == nil || len(got) != 3 || !strings.Contains(err.Error(), "500") {
		t.Errorf("after %d tries: %v", len(got), err)
	}
	h.url = "http://127.0.0.1:1/hook/canary"
	if err := h.post(t.Context(), nil); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
}

func TestWebhookIsNotRedirected(t *testing.T) {
	t.Parallel()
	h, got := listener(t, 307)
	h.client.CheckRedirect = noRedirects
	if err := h.post(t.Context(), nil); err == nil || len(got) != 3 {
		t.Errorf("after %d requests: %v", len(got), err)
	}
}
