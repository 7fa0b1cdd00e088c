package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/drover-batch/drover/llm"
)

// playModel serves a model until this process is not needed any more.
func playModel(ctx context.Context, t *task, out *json.Encoder) error {
	var handler http.Handler = plain{}
	if t.Longest > 0 {
		l := &loaded{Handler: plain{}, shortest: t.Latency, longest: t.Longest}
		handler = l
		go l.sample(ctx)
	}
	server := httptest.NewUnstartedServer(handler)
	defer server.Close()
	r := &report{}
	if t.TLS {
		server.EnableHTTP2 = true
		server.StartTLS()
		r.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	} else {
		server.Start()
	}
	r.URL = server.URL + "/v1"
	if err := out.Encode(r); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// plain is a model that reads a question and gives the same answer to all. It
// does as little as possible, since it runs on the machine
// that is measured.
type plain struct{}

// ServeHTTP implements http.Handler.
func (plain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return // the client broke off
	}
	w.Header()["Content-Type"] = []string{"application/json"}
	_, _ = w.Write(cannedAnswer)
}

// client is what the worker calls the model with.
func (t *task) client() *http.Client {
	if t.Model == "" {
		return &http.Client{Transport: canned{}}
	}
	transport := llm.Transport(t.Slots)
	if len(t.CA) > 0 {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(t.CA)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return &http.Client{Transport: transport}
}

// canned answers at once, without a network.
type canned struct{}

var cannedAnswer = []byte(`{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"bench",` +
	`"choices":[{"index":0,"message":{"role":"assistant","content":"The agreement ends on the last day of the year."},` +
	`"finish_reason":"stop"}],"usage":{"prompt_tokens":60,"completion_tokens":10,"total_tokens":70}}`)

// RoundTrip implements http.RoundTripper.
func (canned) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header:        http.Header{"Content-Type": {"application/json"}},
		ContentLength: int64(len(cannedAnswer)),
		Body:          io.NopCloser(bytes.NewReader(cannedAnswer)),
	}, nil
}

// timed adds up how long the model takes.
type timed struct {
	http.RoundTripper
	took atomic.Int64
}

// RoundTrip implements http.RoundTripper.
func (t *timed) RoundTrip(r *http.Request) (*http.Response, error) {
	began := time.Now()
	defer func() { t.took.Add(int64(time.Since(began))) }()
	return t.RoundTripper.RoundTrip(r)
}
