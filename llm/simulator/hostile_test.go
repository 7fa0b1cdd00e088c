package simulator

import (
	"net/http"
	"strings"
	"testing"
)

// A body nested without end used the stack up, which ended the process with all
// of its calls: a worker's, where the simulator answers for it.
func TestABodyNestedWithoutEndEndedTheProcess(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{}, func(t *testing.T, w *world) {
		for _, path := range []string{"/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/embeddings"} {
			if r := w.post(t.Context(), path, `{"model":"m","max_tokens":5,"x":`+strings.Repeat("[", mostBody-1000)); r.status != http.StatusBadRequest {
				t.Errorf("%s: %d, %v", path, r.status, r.err)
			}
		}
		deep := strings.Repeat("[", 9000) + strings.Repeat("]", 9000)
		if r := w.post(t.Context(), "/v1/chat/completions", strings.Replace(chatBody("hi"), "{", `{"x":`+deep+",", 1)); r.status != http.StatusOK {
			t.Errorf("as deep as may be: %d %.200s", r.status, r.raw)
		}
	})
}

// A schema that refers to itself in a list of a hundred was answered with a
// hundred to the eighth values.
func TestASchemaThatRefersToItselfWasAnsweredWithoutEnd(t *testing.T) {
	t.Parallel()
	for name, schema := range map[string]string{
		"list":   `{"type":"array","minItems":100,"items":{"$ref":"#"}}`,
		"object": `{"type":"object","required":["a","b","c","d","e","f","g","h"],"properties":{"a":{"$ref":"#"},"b":{"$ref":"#"},"c":{"$ref":"#"},"d":{"$ref":"#"},"e":{"$ref":"#"},"f":{"$ref":"#"},"g":{"$ref":"#"},"h":{"$ref":"#"}}}`,
	} {
		inWorld(t, Config{}, func(t *testing.T, w *world) {
			body := strings.Replace(chatBody("hi"), "{", `{"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":`+schema+`}},`, 1)
			body = strings.Replace(body, "500", "5000000", 1)
			if r := w.post(t.Context(), "/v1/chat/completions", body); r.status != http.StatusOK || len(r.raw) > 4*mostValue {
				t.Errorf("%s: %d, %d bytes, %v", name, r.status, len(r.raw), r.err)
			}
		})
	}
}
