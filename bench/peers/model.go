package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// request is the body of every call: a job holds it as it is sent.
func (t *task) request() []byte {
	const sentence = "The agreement ends on the last day. "
	text := strings.Repeat(sentence, t.Body/len(sentence)+1)
	body, err := json.Marshal(map[string]any{
		"model": "bench", "max_tokens": 256,
		"messages": []map[string]string{{"role": "user", "content": "When does the agreement end?\n\n" + text[:t.Body]}},
	})
	if err != nil {
		panic(err)
	}
	return body
}

// model is asked over HTTP, as Drover asks it.
type model struct {
	client *http.Client
	url    string
}

func newModel(t *task) *model {
	return &model{
		url: t.Model + "/chat/completions",
		client: &http.Client{Transport: &http.Transport{
			MaxIdleConns: t.Slots, MaxIdleConnsPerHost: t.Slots, IdleConnTimeout: 90 * time.Second, DisableCompression: true,
		}},
	}
}

// ask returns the answer as it came, which is what the peers store: they are
// spared reading it.
func (m *model) ask(ctx context.Context, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := m.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the model answered %s", res.Status)
	}
	return answer, nil
}
