package llm_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm"
	"github.com/drover-batch/drover/llm/simulator"
)

var prose = strings.Repeat("It was the best of times, it was the worst of times, and nobody was sure. ", 28) // 2 KiB

// BenchmarkAsk counts the simulator's work too: both run in this process.
func BenchmarkAsk(b *testing.B) {
	s, err := simulator.New(simulator.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	url, err := s.Listen("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	for _, provider := range []string{"openai", "anthropic"} {
		b.Run(provider, func(b *testing.B) {
			transport := llm.Transport(64)
			defer transport.CloseIdleConnections()
			c, err := llm.New(jobs.Model{Name: "m", Provider: provider, BaseURL: url, MaxOutput: 500}, &http.Client{Transport: transport})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := c.Ask(b.Context(), document(prose), 0); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

func BenchmarkTokens(b *testing.B) {
	for _, upstream := range []string{"gpt-4.1", "claude-sonnet-4-5"} {
		b.Run(upstream, func(b *testing.B) {
			c, err := llm.New(jobs.Model{Name: "m", Provider: "openai", Upstream: upstream, MaxOutput: 500}, http.DefaultClient)
			if err != nil {
				b.Fatal(err)
			}
			req := document(prose)
			b.SetBytes(int64(len(prose)))
			b.ReportAllocs()
			tokens := int64(0)
			for b.Loop() {
				tokens += c.Tokens(req)
			}
			b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
