package llm

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"

	"github.com/drover-batch/drover/jobs"
)

// What is read of one response at the most. The largest honest ones, 2,048
// embeddings of 1,536 numbers, have some 40 MiB. Of a rejection no more than its
// beginning is told.
const (
	maxResponse  = 64 << 20
	maxRejection = 1 << 20
)

// room is what an honest answer of at most limit tokens takes, with plenty to
// spare. A ready request may ask for more than one, and for every token that
// there could have been.
func (c *Client) room(req *jobs.Request, limit int) int64 {
	if _, vectors := c.wire.(*embeddings); vectors || req.Body != nil {
		return maxResponse
	}
	return min(maxResponse, 4<<20+int64(limit)<<10)
}

// response is a response that arrived, with any status.
type response struct {
	status int
	header http.Header
	body   []byte
}

// post makes one HTTP exchange. A failure means that no usable response
// arrived; its Billing is Free only if the request cannot have arrived either.
// At most room bytes are read of it.
func (c *Client) post(ctx context.Context, path string, body []byte, room int64) (*response, *jobs.Failure) {
	var trip trip
	ctx = httptrace.WithClientTrace(ctx, trip.trace())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "/", bytes.NewReader(body))
	if err != nil {
		return nil, jobs.Failf(jobs.Internal, "making a request: %v", err)
	}
	u := c.base
	u.Path += path
	req.URL, req.Host = &u, u.Host
	req.Header["Content-Type"] = contentJSON
	req.Header["User-Agent"] = userAgent
	if traceparent := jobs.Traceparent(ctx); traceparent != "" {
		req.Header.Set("Traceparent", traceparent)
	}
	c.wire.authorize(req.Header)

	res, err := c.http.Do(req)
	if err != nil {
		fail := c.lost(ctx, err, trip.billing())
		fail.Unsent = trip.connected.Load() == 0
		return nil, fail
	}
	defer func() { _ = res.Body.Close() }()
	if !succeeded(res.StatusCode) {
		room = maxRejection
	}
	data, err := readAll(res, room)
	if err != nil && succeeded(res.StatusCode) {
		fail := c.lost(ctx, err, jobs.Presumed)
		fail.Quota, fail.RequestID = quota(res.Header), requestID(res.Header)
		return nil, fail
	}
	return &response{res.StatusCode, res.Header, bytes.TrimPrefix(data, byteOrderMark)}, nil
}

// byteOrderMark is what some gateways begin their JSON with.
var byteOrderMark = []byte("\ufeff")

// succeeded reports whether a response with this status has been computed, and
// is to be paid.
func succeeded(status int) bool { return status/100 == 2 }

// The headers of every request. Idempotency keys must not be among them: they
// would make net/http resend a request that was lost after it was sent.
var (
	contentJSON = []string{"application/json"}
	userAgent   = []string{"drover"}
)

var errTooLarge = errors.New("its response is larger than any honest one")

func tooLarge(most int64) error { return fmt.Errorf("%w, more than %d MiB", errTooLarge, most>>20) }

func readAll(res *http.Response, most int64) ([]byte, error) {
	if res.ContentLength > most {
		return nil, tooLarge(most)
	}
	var buf bytes.Buffer
	if n := res.ContentLength; n > 0 {
		buf.Grow(int(min(n, 1<<20)) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(res.Body, most+1))
	if n > most {
		return nil, tooLarge(most)
	}
	if err == nil && bytes.HasPrefix(buf.Bytes(), gzipMagic) {
		return unzip(&buf, most)
	}
	return buf.Bytes(), err
}

// gzipMagic is what compressed responses begin with, and JSON cannot. Headers
// are not asked: some proxies unpack a response and leave its header as it was.
var gzipMagic = []byte{0x1f, 0x8b}

func unzip(packed io.Reader, most int64) ([]byte, error) {
	r, err := gzip.NewReader(packed)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if int64(len(data)) > most {
		return nil, tooLarge(most)
	}
	return data, err
}

// lost makes the failure of an exchange that brought no response.
func (c *Client) lost(ctx context.Context, err error, billing jobs.Billing) *jobs.Failure {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err // the outer one repeats the URL
	}
	var fail *jobs.Failure
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		fail = jobs.Failf(jobs.Interrupted, "the call to %s was cut short by our own stop", c.model.Name)
	case errors.Is(err, errTooLarge):
		fail = jobs.Failf(jobs.ServerError, "reading the answer of %s: %v", c.model.Name, err)
	case ctx.Err() != nil:
		fail = jobs.Failf(jobs.Timeout, "%s did not answer in time%s", c.model.Name, within(c.model.Timeout))
	case isTimeout(err):
		fail = jobs.Failf(jobs.Timeout, "connecting to %s: %s", c.base.Host, c.scrub(err.Error()))
	default:
		fail = jobs.Failf(jobs.Unreachable, "asking %s at %s: %s", c.model.Name, c.base.Host, c.scrub(err.Error()))
	}
	fail.Billing = billing
	return fail
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && t.Timeout()
}

// trip watches how far a request gets. Its callbacks may still run when the
// exchange is over. net/http takes another connection by itself when the first
// turns out to be closed before anything was sent, so there may be several.
type trip struct {
	connected atomic.Int32 // connections the request got
	broken    atomic.Int32 // of them, those on which writing it failed
}

func (t *trip) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { t.connected.Add(1) },
		WroteRequest: func(w httptrace.WroteRequestInfo) {
			if w.Err != nil {
				t.broken.Add(1)
			}
		},
	}
}

// billing is Free if the whole request provably did not leave: there never was
// a connection, or writing failed on each, so that what arrived is an
// incomplete body that nobody can run. A request still being written when its
// time ran out may have been finished since, so it is Presumed.
func (t *trip) billing() jobs.Billing {
	if t.connected.Load() == t.broken.Load() {
		return jobs.Free
	}
	return jobs.Presumed
}
