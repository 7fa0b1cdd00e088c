package simulator

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"net/http"
	"strconv"

	"github.com/tidwall/gjson"
)

// embeddings is /v1/embeddings.
type embeddings struct{ openAI }

// vectors is how embeddings are to be written.
type vectors struct {
	dimensions int
	base64     bool // as little-endian 32 bit floats
}

func (embeddings) read(_ *http.Request, body gjson.Result) question {
	q := question{model: body.Get("model").String(), document: body.Get("input").Raw, wordless: true}
	q.shape = vectors{dimensions: 8, base64: body.Get("encoding_format").Str == "base64"}
	if n := body.Get("dimensions").Int(); n > 0 && n <= 4096 {
		q.shape.dimensions = int(n)
	}
	for _, text := range body.Get("input").Array() {
		q.input += tokens(text.String())
	}
	return q
}

func (embeddings) answer(b []byte, _ string, q *question, r *reply) []byte {
	inputs := gjson.Parse(q.document).Array() // a single string reads as a list of one
	b = append(b, `{"object":"list","data":[`...)
	for i, input := range inputs {
		b = strconv.AppendInt(append(separate(b, i), `{"object":"embedding","index":`...), int64(i), 10)
		b = q.shape.append(append(b, `,"embedding":`...), input.String())
		b = append(b, '}')
	}
	b = gjson.AppendJSONString(append(b, `],"model":`...), q.model)
	if !r.silent {
		b = strconv.AppendInt(append(b, `,"usage":{"prompt_tokens":`...), r.input, 10)
		b = strconv.AppendInt(append(b, `,"total_tokens":`...), r.input, 10)
		b = append(b, '}')
	}
	return append(b, '}')
}

// append writes the vector of a text: how often each kind of letter occurs, so
// that like texts have like vectors.
func (v vectors) append(b []byte, text string) []byte {
	sums := make([]float64, max(v.dimensions, 1))
	for i := range len(text) {
		sums[int(text[i])%len(sums)] += 1 / float64(len(text))
	}
	if v.base64 {
		packed := make([]byte, 0, 4*len(sums))
		for _, n := range sums {
			packed = binary.LittleEndian.AppendUint32(packed, math.Float32bits(float32(n)))
		}
		return append(base64.StdEncoding.AppendEncode(append(b, '"'), packed), '"')
	}
	b = append(b, '[')
	for i, n := range sums {
		b = strconv.AppendFloat(separate(b, i), n, 'f', 6, 64)
	}
	return append(b, ']')
}
