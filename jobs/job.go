package jobs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// ID names a job. It is a hash of the batch and the custom id, so the same
// input is the same job, and it is safe inside a subject or a file name.
type ID string

// NewID returns the id of the job that answers customID in the batch.
func NewID(batch, customID string) ID {
	sum := sha256.Sum256([]byte(batch + "\x00" + customID))
	return ID(hex.EncodeToString(sum[:16]))
}

// Valid reports whether it is safe inside a subject or a file name.
func (id ID) Valid() bool { return safeToken(string(id)) }

// Job is one request of a batch.
type Job struct {
	ID       ID     `json:"id"`
	Batch    string `json:"batch"`
	CustomID string `json:"custom_id"` // what the user calls it; never part of a subject

	// Run is 1 for the first run of a job and one more for each replay.
	Run int `json:"run"`

	// Replaces is the stream sequence of the dead outcome that this run was
	// issued against, 0 for a first run. The outcome is stored only if it
	// still is the newest, so a job has one outcome whoever answers late.
	Replaces uint64 `json:"replaces,omitempty"`

	// Earlier holds the attempts of earlier runs: what they cost stays on
	// record when their outcome is replaced.
	Earlier []Attempt `json:"earlier,omitempty"`

	// Instead is set if this run is asked by another chain, or with another
	// prompt, than the batch's.
	Instead *Instead `json:"instead,omitempty"`

	Submitted time.Time `json:"submitted"`

	// Traceparent names what handed this run in, in W3C's form, so that traces
	// lead there; empty for nothing. Queued is when the broker took it in. Both
	// are the message's and not part of what is encoded.
	Traceparent string    `json:"-"`
	Queued      time.Time `json:"-"`

	Document Document `json:"-"` // travels as the body, see MarshalBinary
}

// Unasked is how the job ends that nobody is asked about any more: expired, or
// if it is a replay dead again, since its letter was taken away for it.
func (j *Job) Unasked() Status {
	if j.Run > 1 {
		return Dead
	}
	return Expired
}

// Document is one piece of input.
type Document struct {
	// Source is where the document came from, for people: contracts/a.txt,
	// invoices.csv:12.
	Source string `json:"source,omitempty"`

	// Fields are the columns of a row or the members of a JSON line, for the
	// prompt's template.
	Fields map[string]string `json:"fields,omitempty"`

	// Endpoint is set when Body is a ready request to a model, as in an OpenAI
	// batch file: /v1/chat/completions. Otherwise Body is the document's text.
	Endpoint string `json:"endpoint,omitempty"`

	// Type is the media type of a Body that is an image, for models that see;
	// empty for text.
	Type string `json:"type,omitempty"`

	Body []byte `json:"-"`
}

// Ready reports whether the document is a request body that goes to the model
// as it is, byte for byte but for the model's name and the token limit.
func (d *Document) Ready() bool { return d.Endpoint != "" }

// HasText reports whether the document has any text.
func (d *Document) HasText() bool { return !d.Ready() && d.Type == "" && len(d.Body) > 0 }

// Text is the document's text; empty for a ready request and for an image.
func (d *Document) Text() string {
	if !d.HasText() {
		return ""
	}
	return string(d.Body)
}

// envelope is the first line of an encoded job.
type envelope struct {
	*Job
	*Document
}

// MarshalBinary encodes the job as one line of JSON followed by the
// document's body, untouched: a body is never quoted or parsed on its way.
func (j *Job) MarshalBinary() ([]byte, error) {
	head, err := json.Marshal(envelope{j, &j.Document})
	if err != nil {
		return nil, fmt.Errorf("encoding job %s: %w", j.ID, err)
	}
	out := make([]byte, 0, len(head)+1+len(j.Document.Body))
	out = append(out, head...)
	out = append(out, '\n')
	return append(out, j.Document.Body...), nil
}

// mostEarlier is more than any call costs, and little enough to be added up.
const mostEarlier = 1_000_000 * Dollar

// UnmarshalBinary decodes what MarshalBinary made. The body shares data's
// memory.
func (j *Job) UnmarshalBinary(data []byte) error {
	head, body, ok := bytes.Cut(data, []byte{'\n'})
	if !ok {
		return fmt.Errorf("decoding a job: no line break after its head")
	}
	if err := json.Unmarshal(head, &envelope{j, &j.Document}); err != nil {
		return fmt.Errorf("decoding a job: %w", err)
	}
	if j.ID == "" || j.Batch == "" || j.Run < 1 {
		return fmt.Errorf("decoding a job: its head lacks an id, a batch or a run")
	}
	if !j.ID.Valid() {
		return fmt.Errorf("decoding a job: %.100q is no id of a job", j.ID)
	}
	if err := j.Instead.validate(); err != nil {
		return fmt.Errorf("decoding a job: %w", err)
	}
	for _, a := range j.Earlier {
		if a.Cost < 0 || a.Cost > mostEarlier || a.Usage.Negative() {
			return fmt.Errorf("decoding a job: an earlier attempt cannot have cost %d millionths of a dollar for %+v", a.Cost, a.Usage)
		}
	}
	j.Document.Body = body
	return nil
}
