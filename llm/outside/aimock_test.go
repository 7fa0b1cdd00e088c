package outside

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm"
)

// version of @copilotkit/aimock that is installed.
const version = "1.43.0"

// fixtures are what aimock answers, by what the user says.
const fixtures = `{"fixtures": [
	{"match": {"userMessage": "hello"}, "response": {"content": "Hi there!", "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "input_tokens": 7, "output_tokens": 3}}},
	{"match": {"userMessage": "weather"}, "response": {"toolCalls": [{"name": "weather", "arguments": "{\"city\":\"Oslo\"}"}, {"name": "weather", "arguments": "{\"city\":\"Rome\"}"}]}},
	{"match": {"inputText": "hello"}, "response": {"embedding": [0.25, -0.5]}},
	{"match": {"userMessage": "limit"}, "response": {"error": {"message": "Rate limit reached for m", "type": "rate_limit_error", "code": "rate_limit_exceeded"}, "status": 429}},
	{"match": {"userMessage": "money"}, "response": {"error": {"message": "You exceeded your current quota, please check your plan and billing details.", "type": "insufficient_quota", "code": "insufficient_quota"}, "status": 429}},
	{"match": {"userMessage": "broken"}, "response": {"error": {"message": "oh", "type": "server_error", "code": "server_error"}, "status": 500}}
]}`

// aimock starts the mock, once for all tests, and returns its address. Tests
// are skipped where node or npm is not there.
var aimock = sync.OnceValues(start)

func mock(t *testing.T) string {
	t.Helper()
	address, err := aimock()
	if missing, ok := errors.AsType[absent](err); ok {
		t.Skipf("aimock is not asked: %s", string(missing))
	}
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// absent is why there is no aimock.
type absent string

func (a absent) Error() string { return string(a) }

func start() (string, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return "", absent("node is not installed")
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", absent("npm is not installed")
	}
	dir := filepath.Join(os.TempDir(), "drover-aimock-"+version)
	cli := filepath.Join(dir, "node_modules", "@copilotkit", "aimock", "dist", "cli.js")
	if _, err := os.Stat(cli); err != nil {
		out, err := exec.Command(npm, "install", "--prefix", dir, "--ignore-scripts", "--no-audit", "--no-fund", "@copilotkit/aimock@"+version).CombinedOutput()
		if err != nil {
			return "", absent(fmt.Sprintf("npm cannot install it: %v: %.200s", err, out))
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "fixtures.json"), []byte(fixtures), 0o600); err != nil {
		return "", err
	}
	return launch(exec.Command(node, cli, "--port", "0", "--fixtures", filepath.Join(dir, "fixtures.json"), "--strict", "--log-level", "info"))
}

var running *exec.Cmd

func launch(cmd *exec.Cmd) (string, error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return "", err
	}
	running = cmd
	listening := regexp.MustCompile(`listening on (http://[0-9.:]+)`)
	var said bytes.Buffer
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			go func() { // or it would block on a full pipe
				for lines.Scan() {
				}
			}()
			return m[1], nil
		}
	}
	return "", fmt.Errorf("aimock did not start: %s", said.String())
}

func TestMain(m *testing.M) {
	code := m.Run()
	if running != nil {
		_ = running.Process.Kill()
		_ = running.Wait()
	}
	os.Exit(code)
}

// asker is an adapter whose requests the mock tells apart by the test's name.
type asker struct {
	*llm.Client
	t    *testing.T
	mock string
	id   string
}

var providers = map[string]string{
	"openai": "/v1", "openai-responses": "/v1", "openai-embeddings": "/v1", "anthropic": "/v1", "gemini": "/v1beta",
}

func newAsker(t *testing.T, provider string) *asker {
	t.Helper()
	a := &asker{t: t, mock: mock(t), id: t.Name()}
	m := jobs.Model{
		Name: "m", Provider: provider, Key: jobs.NewSecret(key), Context: 100_000, MaxOutput: 300,
		BaseURL: a.mock + providers[provider] + "?testId=" + url.QueryEscape(a.id),
	}
	transport := llm.Transport(1)
	t.Cleanup(transport.CloseIdleConnections)
	var err error
	if a.Client, err = llm.New(m, &http.Client{Transport: transport}); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *asker) say(text string) (*jobs.Answer, error) {
	return a.Ask(bounded(a.t), &jobs.Request{Messages: []jobs.Message{{Role: jobs.User, Text: text}}}, 0)
}

// control calls the mock's own endpoints.
func (a *asker) control(method, path string, body any, into any) {
	a.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		a.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(context.WithoutCancel(a.t.Context()), method, a.mock+path+"?testId="+url.QueryEscape(a.id), bytes.NewReader(data))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode/100 != 2 {
		a.t.Fatalf("%s %s: %s", method, path, res.Status)
	}
	if into != nil {
		if err := json.NewDecoder(res.Body).Decode(into); err != nil {
			a.t.Fatal(err)
		}
	}
}

// entry is a line of the mock's journal.
type entry struct {
	Path    string
	Headers map[string]string
	Body    json.RawMessage
}

// asked is what the mock was asked by this test.
func (a *asker) asked() []entry {
	a.t.Helper()
	var journal []entry
	a.control(http.MethodGet, "/__aimock/journal", nil, &journal)
	return journal
}

func (a *asker) mustHaveAsked(n int) {
	a.t.Helper()
	if journal := a.asked(); len(journal) != n {
		a.t.Errorf("the mock's journal has %d calls, want %d: %+v", len(journal), n, journal)
	}
}

func inEvery(t *testing.T, run func(t *testing.T, a *asker, provider string)) {
	t.Helper()
	for provider := range providers {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			run(t, newAsker(t, provider), provider)
		})
	}
}

func TestAdaptersUnderstandTheMocksAnswers(t *testing.T) {
	t.Parallel()
	inEvery(t, func(t *testing.T, a *asker, provider string) {
		got, err := a.say("hello")
		want := "Hi there!"
		if provider == "openai-embeddings" {
			want = "[0.25,-0.5]"
		}
		if err != nil || got.Text != want || got.Finish != jobs.FinishStop || got.RequestID == "" {
			t.Errorf("got %+v, %v", got, err)
		}
		if u := got.Usage; provider != "openai-embeddings" && !got.Estimated && (u.Input != 7 || u.Output != 3) {
			t.Errorf("usage %+v", u)
		}
		a.mustHaveAsked(1)
		if all, _ := json.Marshal(a.asked()); strings.Contains(string(all), key) {
			t.Errorf("the key travels where a journal sees it: %s", all)
		}
	})
}

func TestAdaptersCarryToolsThere(t *testing.T) {
	t.Parallel()
	inEvery(t, func(t *testing.T, a *asker, provider string) {
		if provider == "openai-embeddings" {
			t.Skip("vectors call no tools")
		}
		req := &jobs.Request{
			Messages: []jobs.Message{{Role: jobs.User, Text: "weather"}},
			Tools:    []jobs.Tool{{Name: "weather", Schema: []byte(`{"type":"object","properties":{"city":{"type":"string"}}}`)}},
		}
		got, err := a.Ask(bounded(t), req, 0)
		if err != nil || got.Finish != jobs.FinishTools || len(got.Calls) != 2 || got.Calls[0].ID == got.Calls[1].ID {
			t.Fatalf("got %+v, %v", got, err)
		}
		var args struct{ City string }
		if err := json.Unmarshal([]byte(got.Calls[1].Arguments), &args); err != nil || got.Calls[1].Name != "weather" || args.City != "Rome" {
			t.Errorf("got %+v, %v", got.Calls[1], err)
		}
		a.mustHaveAsked(1)
	})
}

func TestAdaptersUnderstandTheMocksErrors(t *testing.T) {
	t.Parallel()
	inEvery(t, func(t *testing.T, a *asker, provider string) {
		if provider == "openai-embeddings" {
			t.Skip("the mock finds its errors by what a user says")
		}
		for text, want := range map[string]jobs.Kind{"limit": jobs.RateLimited, "broken": jobs.ServerError} {
			_, err := a.say(text)
			if f, ok := errors.AsType[*jobs.Failure](err); !ok || f.Kind != want {
				t.Errorf("%s: %+v", text, err)
			}
		}
		if _, err := a.say("money"); provider == "openai" || provider == "openai-responses" {
			if f, ok := errors.AsType[*jobs.Failure](err); !ok || f.Kind != jobs.NoQuota || f.Billing != jobs.Free {
				t.Errorf("money: %+v", err)
			}
		}
		a.mustHaveAsked(3)
	})
}

// Whatever goes wrong, a call is made once, and it is never held to be free
// when the mock may have answered.
func TestChaosIsToldApartAndNothingIsAskedTwice(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		chaos   map[string]any
		kinds   []jobs.Kind
		billing jobs.Billing
	}{
		"drop":       {map[string]any{"dropRate": 1}, []jobs.Kind{jobs.ServerError}, jobs.Presumed},
		"malformed":  {map[string]any{"malformedRate": 1}, []jobs.Kind{jobs.Unreachable}, jobs.Presumed},
		"disconnect": {map[string]any{"disconnectRate": 1}, []jobs.Kind{jobs.Unreachable}, jobs.Presumed},
		"ratelimit":  {map[string]any{"rateLimitRate": 1}, []jobs.Kind{jobs.RateLimited}, jobs.Free},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inEvery(t, func(t *testing.T, a *asker, _ string) {
				a.control(http.MethodPost, "/__aimock/chaos", c.chaos, nil)
				_, err := a.say("hello")
				f, ok := errors.AsType[*jobs.Failure](err)
				if !ok || f.Kind != c.kinds[0] || f.Billing != c.billing {
					t.Errorf("got %+v", err)
				}
				if c.billing == jobs.Free && f.RetryAfter <= 0 {
					t.Errorf("nothing says how long to wait: %+v", f)
				}
				a.mustHaveAsked(1)
			})
		})
	}
}
