package simulator

import (
	"net/http"
	"strconv"
	"time"
)

// exchange is one call on its way through the server.
type exchange struct {
	s     *Server
	w     http.ResponseWriter
	r     *http.Request
	d     dialect
	q     question
	entry Entry
}

// meet lets the call meet its fate.
func (x *exchange) meet(f fate) {
	if status := f.fault.status(); status != 0 {
		if x.s.wait(x.r.Context(), f.latency) {
			x.fail(status, "simulated "+http.StatusText(status))
		}
		return
	}
	answer := x.q.reply(f.fault, &x.s.cfg)
	if most := x.s.cfg.Context; most > 0 && x.q.input+max(x.q.limit, 1) > int64(most) {
		x.reject(&problem{status: http.StatusBadRequest, code: "context_length_exceeded", message: "This model's maximum context length is " +
			strconv.Itoa(most) + " tokens. However, your request needs " + strconv.FormatInt(x.q.input+x.q.limit, 10) + " tokens."})
		return
	}
	left, wait := x.s.limits.take(x.q.model, answer.input+answer.output, x.entry.At)
	if left != nil {
		x.d.quota(x.w.Header(), left, x.entry.At)
	}
	if wait > 0 {
		x.tooMany(left, wait)
		return
	}
	x.entry.Output, x.entry.Status, x.entry.Billed, x.entry.Fault = answer.output, http.StatusOK, true, f.fault
	x.s.ledger.record(&x.entry)
	x.deliver(f, &answer)
}

// deliver hands an answer over that has been charged for.
func (x *exchange) deliver(f fate, answer *reply) {
	latency := f.latency
	if speed := x.s.cfg.TokensPerSecond; speed > 0 {
		latency += time.Duration(float64(answer.output) / speed * float64(time.Second))
	}
	if f.fault == Hang {
		latency = -1
	}
	if !x.s.wait(x.r.Context(), latency) || f.fault == Drop {
		panic(http.ErrAbortHandler)
	}
	body := x.d.answer(make([]byte, 0, 512+len(answer.text)), x.entry.ID, &x.q, answer)
	switch f.fault {
	case Cut:
		x.header(http.StatusOK, len(body))
		_, _ = x.w.Write(body[:len(body)/2])
		_ = http.NewResponseController(x.w).Flush()
		panic(http.ErrAbortHandler)
	case Truncate:
		body = body[:len(body)/2]
	case Garbage:
		body = []byte("<html><body><h1>Welcome to the hotel's network</h1></body></html>")
	}
	x.s.ledger.delivered(x.entry.Seq, true)
	if !x.send(http.StatusOK, body) {
		x.s.ledger.delivered(x.entry.Seq, false)
	}
}

// tooMany is the 429 of a quota that is used up, nil if it is silent.
func (x *exchange) tooMany(left *quota, wait time.Duration) {
	short := ""
	if left != nil {
		short = left.short
	}
	x.d.later(x.w.Header(), wait)
	x.reject(&problem{http.StatusTooManyRequests, "rate_limit_exceeded",
		"Rate limit reached for " + x.q.model + short + ". Please try again in " + wait.Round(time.Millisecond).String() + ".", wait})
}

func (x *exchange) fail(status int, message string) {
	x.reject(&problem{status: status, message: message})
}

// reject answers with an error, which is never charged for.
func (x *exchange) reject(p *problem) {
	x.entry.Status = p.status
	x.s.ledger.record(&x.entry)
	x.send(p.status, x.d.problem(nil, p))
}

func (x *exchange) send(status int, body []byte) bool {
	x.header(status, len(body))
	_, err := x.w.Write(body)
	return err == nil && x.r.Context().Err() == nil
}

func (x *exchange) header(status, length int) {
	h := x.w.Header()
	h["Content-Type"] = contentJSON
	h.Set("Content-Length", strconv.Itoa(length))
	h.Set("X-Request-Id", "req-"+x.entry.ID)
	x.w.WriteHeader(status)
}

var contentJSON = []string{"application/json"}
