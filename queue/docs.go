package queue

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// MaxBody is the most bytes a job's document may have.
const MaxBody = 32 << 20

// ErrTooLarge says that a document is larger than MaxBody.
var ErrTooLarge = errors.New("the document is larger than 32 MiB")

// docHeader names the object that holds the message's body.
const docHeader = "Drover-Doc"

// batchKey is where an object's metadata say which batch it is of.
const batchKey = "drover-batch"

// stow moves a body too large for a message into the object store, under its
// own hash, so that doing it again changes nothing. One that is there is read, since
// it may be damaged.
func (q *Queue) stow(ctx context.Context, m *nats.Msg) error {
	if len(m.Data) <= q.mostBody {
		return nil
	}
	return q.putAway(ctx, m)
}

// putAway is stow for a body of any size.
func (q *Queue) putAway(ctx context.Context, m *nats.Msg) error {
	batch := q.names.batchOf(m.Subject)
	name := checksum(m.Data)
	_, err := q.fetchBody(ctx, name)
	if errors.Is(err, jetstream.ErrObjectNotFound) || errors.Is(err, errForeign) || errors.Is(err, errDamaged) {
		_, err = q.docs.Put(ctx, jetstream.ObjectMeta{Name: name, Metadata: map[string]string{batchKey: batch}}, &slow{bytes.NewReader(m.Data)})
	}
	if err != nil {
		return fmt.Errorf("storing a body of %d bytes: %w", len(m.Data), err)
	}
	m.Header.Set(docHeader, name)
	m.Data = nil
	return nil
}

// slow is a body that takes a moment to say that it has ended. The client (nats.go
// 1.55) begins a goroutine with the first message of an object, which stays for
// ever if the object is stored, or given up, before it runs.
type slow struct{ *bytes.Reader }

func (r *slow) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil {
		_ = sleep(context.Background(), time.Millisecond) // which does not end
	}
	return n, err
}

// body returns the message's body, wherever it is.
func (q *Queue) body(ctx context.Context, h nats.Header, data []byte) ([]byte, error) {
	name := h.Get(docHeader)
	if name == "" {
		return data, nil
	}
	data, err := q.fetchBody(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("fetching a body: %w", err)
	}
	return data, nil
}

// mostStowed is more than any body of ours has: a job's, or an outcome with its
// attempts and what was rejected.
const mostStowed = 256 << 20

// errForeign says that an object is none that stow made. It never will be.
var errForeign = errors.New("the object is no body of ours")

// errDamaged says that an object is not what was stored under its name. It may be
// on its way: another process writes the same body at this moment.
var errDamaged = errors.New("the object is damaged: NATS has lost a part of it, or somebody has put another in its place")

// fetchBody reads an object that is what stow makes: named by its hash, no link to
// another, which may lead back to itself, and not without end.
func (q *Queue) fetchBody(ctx context.Context, name string) ([]byte, error) {
	if sum, err := hex.DecodeString(name); err != nil || len(sum) != sha256.Size {
		return nil, fmt.Errorf("%.100q: %w", name, errForeign)
	}
	info, err := q.docs.GetInfo(ctx, name)
	switch {
	case errors.Is(err, jetstream.ErrBadObjectMeta) || err == nil && info.NUID == "":
		return nil, errDamaged
	case err != nil:
		return nil, err
	case info.Opts != nil && info.Opts.Link != nil:
		return nil, fmt.Errorf("%w: it is a link", errForeign)
	case info.Size > mostStowed:
		return nil, fmt.Errorf("%w: it has %d bytes", errForeign, info.Size)
	}
	if last, err := lastOn(ctx, q.bodies, fmt.Sprintf("$O.%s.C.%s", q.stream("DOCS"), info.NUID)); err != nil {
		return nil, err
	} else if last == nil { // Get would wait in vain for the first
		return nil, errDamaged
	}
	object, err := q.docs.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = object.Close() }()
	var data bytes.Buffer
	data.Grow(int(info.Size) + bytes.MinRead)
	_, err = data.ReadFrom(io.LimitReader(object, int64(info.Size)+1))
	if checksum(data.Bytes()) == name {
		return data.Bytes(), nil // whatever is said of it
	}
	_, garbled := errors.AsType[base64.CorruptInputError](err)
	if err == nil || garbled || errors.Is(err, jetstream.ErrDigestMismatch) || errors.Is(err, jetstream.ErrInvalidDigestFormat) {
		return nil, errDamaged
	}
	return nil, err
}
