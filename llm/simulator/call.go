package simulator

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/tidwall/gjson"
)

// dialect is what the endpoints differ in.
type dialect interface {
	// read finds what was asked in a request's path and body.
	read(r *http.Request, body gjson.Result) question

	// answer writes the body of a response.
	answer(b []byte, id string, q *question, r *reply) []byte

	// problem writes the body of an error.
	problem(b []byte, p *problem) []byte

	// quota says in headers what is left.
	quota(h http.Header, left *quota, now time.Time)

	// later says in headers when to come back.
	later(h http.Header, wait time.Duration)

	// key is the API key that came with a request.
	key(h http.Header) string
}

// reply is an answer.
type reply struct {
	text   string
	calls  []Call
	finish finish
	silent bool // about its usage

	input, output     int64
	cached, reasoning int64 // the parts of them
}

// problem is what is wrong with a request or with the server.
type problem struct {
	status  int
	code    string // as OpenAI calls it, "" for none
	message string
	wait    time.Duration // until it may come again
}

// headers say when to come back, in OpenAI's way and Anthropic's.
type headers struct{}

func (headers) later(h http.Header, wait time.Duration) {
	h.Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	h.Set("Retry-After-Ms", strconv.FormatInt((wait+time.Millisecond-1).Milliseconds(), 10))
}

// finish is why an answer ends.
type finish int

const (
	stopped finish = iota
	cutShort
	refusedIt
	callsTool
)

// mostBody bounds a request.
const mostBody = 32 << 20

func (s *Server) endpoint(d dialect) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.enter() {
			panic(http.ErrAbortHandler)
		}
		defer s.serving.Done()
		var body bytes.Buffer
		body.Grow(int(min(max(r.ContentLength, 0), 1<<20)) + bytes.MinRead)
		if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, mostBody)); err != nil {
			return // the client broke off, or sent too much
		}
		s.call(w, r, d, body.Bytes())
	})
}

// enter lets a call in unless the server is closing.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.serving.Add(1)
	}
	return !s.over
}

// call runs one call from its body to its place in the ledger.
func (s *Server) call(w http.ResponseWriter, r *http.Request, d dialect, body []byte) {
	x := &exchange{s: s, w: w, r: r, d: d, entry: Entry{At: time.Now(), Path: r.URL.Path}}
	if s.cfg.Key != "" && d.key(r.Header) != s.cfg.Key {
		x.fail(http.StatusUnauthorized, "Incorrect API key provided.")
		return
	}
	if !valid(body) {
		x.fail(http.StatusBadRequest, "We could not parse the JSON body of your request.")
		return
	}
	x.q = d.read(r, gjson.ParseBytes(body))
	if x.q.model == "" {
		x.fail(http.StatusBadRequest, "you must provide a model parameter")
		return
	}
	if x.q.wrong != "" {
		x.fail(http.StatusBadRequest, x.q.wrong)
		return
	}
	prompt := Prompt(body)
	x.entry.Model, x.entry.Input, x.entry.Prompt = x.q.model, x.q.input, prompt
	x.meet(s.faults.fate(&x.q, prompt, body, x.entry.At))
}

// fewLevels are deep enough for gjson to go there by recursion.
const fewLevels = 1000

// valid reports whether a text is JSON that is not nested without end. gjson
// goes down by recursion, and a stack that is used up ends the whole process.
func valid(text []byte) bool {
	if bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) <= fewLevels {
		return gjson.ValidBytes(text)
	}
	return json.Valid(text) // which has a bound
}

// Prompt is how the ledger names a request body: by a hash, so that it holds
// no content.
func Prompt(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:8])
}
