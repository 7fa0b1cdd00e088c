package llm

import (
	"net/http"
	"strings"
	"testing"

	"github.com/drover-batch/drover/jobs"
)

var prose = strings.Repeat("It was the best of times, it was the worst of times, and nobody was sure. ", 28) // 2 KiB

// said is a typical answer in each protocol.
var said = map[string]string{
	"openai":            `{"id":"1","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"` + prose[:500] + `"},"finish_reason":"stop"}],"usage":{"prompt_tokens":500,"completion_tokens":120,"total_tokens":620}}`,
	"openai-responses":  `{"id":"1","status":"completed","model":"m","output":[{"type":"message","content":[{"type":"output_text","text":"` + prose[:500] + `"}]}],"usage":{"input_tokens":500,"output_tokens":120,"total_tokens":620}}`,
	"openai-embeddings": `{"data":[{"embedding":[` + strings.Repeat("0.0123456,", 1535) + `0]}],"model":"m","usage":{"prompt_tokens":500,"total_tokens":500}}`,
	"anthropic":         `{"id":"1","model":"m","content":[{"type":"text","text":"` + prose[:500] + `"}],"stop_reason":"end_turn","usage":{"input_tokens":500,"output_tokens":120}}`,
	"gemini":            `{"candidates":[{"content":{"parts":[{"text":"` + prose[:500] + `"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":500,"candidatesTokenCount":120}}`,
}

func BenchmarkEncode(b *testing.B) {
	for _, provider := range providers {
		b.Run(provider, func(b *testing.B) {
			c := mustNew(b, model(provider), http.DefaultClient)
			req := prompt(prose)
			req.System = "Summarise in one sentence."
			b.ReportAllocs()
			for b.Loop() {
				if _, _, fail := c.wire.encode(req, 500); fail != nil {
					b.Fatal(fail)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, provider := range providers {
		b.Run(provider, func(b *testing.B) {
			c, body := mustNew(b, model(provider), http.DefaultClient), []byte(said[provider])
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if a, fail := c.wire.decode(&jobs.Request{}, body); fail != nil || a.Text == "" {
					b.Fatal(fail)
				}
			}
		})
	}
}
