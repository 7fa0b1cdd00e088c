package trace

import (
	"net/url"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"

	"github.com/drover-batch/drover/jobs"
)

// model is what the spans of all calls of a model have in common, in the words
// of OpenTelemetry's conventions for generative AI.
type model struct {
	span   string // their name
	common []attribute.KeyValue
}

func newModel(m *jobs.Model) model {
	operation, provider := spoken(m.Provider)
	common := []attribute.KeyValue{
		operation, provider,
		semconv.GenAIRequestModel(m.Upstream), attribute.String("drover.model", m.Name),
	}
	if u, err := url.Parse(m.BaseURL); err == nil && u.Hostname() != "" { // the rest of it may hold a key
		common = append(common, semconv.ServerAddress(u.Hostname()))
		port, err := strconv.Atoi(u.Port())
		if err != nil {
			port = map[string]int{"http": 80, "https": 443}[u.Scheme]
		}
		common = append(common, semconv.ServerPort(port))
	}
	return model{operation.Value.AsString() + " " + m.Upstream, common}
}

// spoken tells what is done in a wire protocol, and whose it is.
func spoken(protocol string) (operation, provider attribute.KeyValue) {
	switch protocol {
	case "openai", "openai-responses":
		return semconv.GenAIOperationNameChat, semconv.GenAIProviderNameOpenAI
	case "openai-embeddings":
		return semconv.GenAIOperationNameEmbeddings, semconv.GenAIProviderNameOpenAI
	case "anthropic":
		return semconv.GenAIOperationNameChat, semconv.GenAIProviderNameAnthropic
	case "gemini":
		return semconv.GenAIOperationNameGenerateContent, semconv.GenAIProviderNameGCPGemini
	}
	return semconv.GenAIOperationNameChat, semconv.GenAIProviderNameKey.String(protocol)
}
