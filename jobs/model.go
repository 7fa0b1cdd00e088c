package jobs

import (
	"encoding/json"
	"time"
)

// Model is one step of a chain: whom to ask, and what that may take and cost.
type Model struct {
	Name     string `json:"name"`     // what the configuration calls it
	Provider string `json:"provider"` // the wire protocol: openai, openai-responses, openai-embeddings, anthropic, gemini, simulator
	Upstream string `json:"upstream"` // what the provider calls it
	BaseURL  string `json:"base_url"` // from the configuration only, never from a job
	Key      Secret `json:"-"`

	Context   int           `json:"context"`    // most tokens of input and output together, 0 if there is no bound
	MaxOutput int           `json:"max_output"` // most tokens of an answer; always sent
	Timeout   time.Duration `json:"timeout"`    // of one call
	Quota     string        `json:"quota"`      // the limits it shares with others; default its own name

	// Price is nil when nobody knows it: a job that has a budget is then
	// refused, one that has none costs 0.
	Price *Price `json:"price,omitempty"`

	Temperature *float64 `json:"temperature,omitempty"` // nil leaves it to the provider
	Effort      string   `json:"effort,omitempty"`      // how hard it thinks, in its provider's words; "" leaves it to the provider

	Vision     bool `json:"vision,omitempty"`     // it sees images
	Structured bool `json:"structured,omitempty"` // it can be held to a JSON Schema
}

// LeastAnswer is the room for an answer, in tokens, without which a model is not
// asked.
const LeastAnswer = 256

// HasRoom reports whether so many tokens of input leave room for an answer of
// output tokens at the most, or for LeastAnswer of them.
func (m *Model) HasRoom(input, output int64) bool {
	return m.Context == 0 || input+min(output, LeastAnswer) <= int64(m.Context)
}

// Request is what a model is asked.
type Request struct {
	System   string    `json:"system,omitempty"`
	Messages []Message `json:"messages,omitempty"`
	Tools    []Tool    `json:"tools,omitempty"`

	// Schema, if set, is the JSON Schema that the answer has to match. A
	// provider that can be held to one is; the answer is checked either way.
	Schema json.RawMessage `json:"schema,omitempty"`

	// Body, if set, is a ready request for Endpoint and replaces the rest.
	Endpoint string `json:"endpoint,omitempty"`
	Body     []byte `json:"body,omitempty"`

	// MaxOutput lowers the model's own limit; 0 keeps it.
	MaxOutput int `json:"max_output,omitempty"`
}

// The roles of a message.
const (
	User      = "user"
	Assistant = "assistant"
	ToolRole  = "tool"
)

// Message is one turn of a conversation.
type Message struct {
	Role  string     `json:"role"`
	Text  string     `json:"text,omitempty"`
	Calls []ToolCall `json:"calls,omitempty"` // what an assistant asks tools
	Reply string     `json:"reply,omitempty"` // id of the tool call this answers

	Images []Image `json:"images,omitempty"` // for models that see; behind the text

	Thoughts *Thoughts `json:"thoughts,omitempty"` // what an assistant thought before it called tools
}

// Thoughts are what a model thought, in its provider's own form. They go back to
// it as they came, as providers demand where a conversation goes on after calls
// of tools; other models are not shown them.
type Thoughts struct {
	Model string          `json:"model"` // that thought them, by its own name
	Body  json.RawMessage `json:"body"`
}

// Image is a picture in a message.
type Image struct {
	Type string `json:"type"` // media type: image/png, image/jpeg, image/webp or image/gif
	Data []byte `json:"data"`
}

// Tool is something a model may ask to have run.
type Tool struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Schema      []byte `json:"schema,omitempty"` // JSON Schema of its arguments
}

// ToolCall is a model's wish to have a tool run.
type ToolCall struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Arguments string `json:"arguments"` // JSON
}

// Usage counts tokens as the provider reports them.
type Usage struct {
	Input       int64 `json:"input"`                  // all input, cached or not
	CachedInput int64 `json:"cached_input,omitempty"` // the part of Input that was cached
	CacheWrite  int64 `json:"cache_write,omitempty"`  // the part of Input that was put into the cache
	Output      int64 `json:"output"`                 // answer and reasoning
	Reasoning   int64 `json:"reasoning,omitempty"`    // the part of Output that is reasoning
}

// Total is all tokens, in and out.
func (u Usage) Total() int64 { return u.Input + u.Output }

// Negative reports whether any of it is less than nothing.
func (u Usage) Negative() bool {
	return min(u.Input, u.CachedInput, u.CacheWrite, u.Output, u.Reasoning) < 0
}

// Add returns the sum of both.
func (u Usage) Add(v Usage) Usage {
	return Usage{
		u.Input + v.Input, u.CachedInput + v.CachedInput, u.CacheWrite + v.CacheWrite,
		u.Output + v.Output, u.Reasoning + v.Reasoning,
	}
}

// Why a model stopped writing, in one vocabulary for all providers.
const (
	FinishStop    = "stop"
	FinishLength  = "length"
	FinishTools   = "tool_calls"
	FinishRefused = "refused"
)

// Answer is what a model gave back.
type Answer struct {
	Text      string
	Calls     []ToolCall
	Thoughts  *Thoughts // nil if there are none that have to go back
	Finish    string    // one of the Finish constants
	Usage     Usage
	Model     string // what the provider says answered
	RequestID string // the provider's, for support cases
	Status    int    // HTTP status
	Body      []byte // the provider's whole response
	Quota     *Quota // what its headers said of the quota, nil if nothing

	// Estimated says that the provider did not report its usage: Usage is the
	// most it can have been, so the attempt is Presumed rather than Billed.
	Estimated bool
}

// Quota is what a provider's response headers say is left. A negative number
// means that the header was absent.
type Quota struct {
	RequestsLimit, RequestsLeft int64
	TokensLimit, TokensLeft     int64
	RequestsReset, TokensReset  time.Duration

	// Exhausted is what a 429 names as used up: requests or tokens. It is empty
	// where the provider does not say which.
	Exhausted Limit
}

// Limit is what a provider counts.
type Limit string

// What providers limit.
const (
	Requests Limit = "requests"
	Tokens   Limit = "tokens"
)
