package queue

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// A group is bounded so that one commit stays short and well below the
// broker's own limit of 1,000 messages.
const (
	groupMessages = 500
	groupBytes    = 4 << 20
	commitTimeout = 10 * time.Second
)

// publishAll stores the messages together or not at all and returns the
// sequence of the last. An error that is not refused leaves open which.
func publishAll(ctx context.Context, js jetstream.JetStream, msgs []*nats.Msg) (uint64, error) {
	if !js.Conn().IsConnected() {
		return 0, nats.ErrDisconnected // rather than wait in the client's buffer and be sent who knows when
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	if len(msgs) == 1 {
		ack, err := js.PublishMsg(ctx, msgs[0], jetstream.WithRetryAttempts(0))
		if err != nil {
			return 0, err
		}
		return ack.Sequence, nil
	}
	ack, err := jetstreamext.PublishMsgBatch(ctx, js, msgs, jetstreamext.BatchFlowControl{})
	for _, m := range msgs { // or a later publish of one alone would count as part of the batch
		m.Header.Del(jetstreamext.BatchIDHeader)
		m.Header.Del(jetstreamext.BatchSeqHeader)
		m.Header.Del(jetstreamext.BatchCommitHeader)
	}
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// newMsg makes a message with the header map that batches insist on.
func newMsg(subject string, data []byte) *nats.Msg {
	return &nats.Msg{Subject: subject, Data: data, Header: nats.Header{}}
}

// expect has the broker refuse the message unless seq is the newest sequence
// on the message's own subject, 0 for none.
func expect(m *nats.Msg, seq uint64) {
	m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(seq, 10))
}

// expectOn is expect for another subject of the same stream.
func expectOn(m *nats.Msg, subject string, seq uint64) {
	expect(m, seq)
	m.Header.Set(jetstream.ExpectedLastSubjSeqSubjHeader, subject)
}

// refused reports whether the broker itself said no, so that nothing was
// stored.
func refused(err error) bool {
	_, ok := errors.AsType[*jetstream.APIError](err)
	return ok
}

// conflict reports whether an expected sequence was not the newest. In a
// cluster the second code also means that another write is on its way.
func conflict(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// The broker's words for a stream, an account or a server without room.
const (
	errAccountLimits jetstream.ErrorCode = 10002
	errServerLimits  jetstream.ErrorCode = 10023
	errStorageLimits jetstream.ErrorCode = 10047
	errStoreFailed   jetstream.ErrorCode = 10077
)

// full reports whether there is no room for more.
func full(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	if !ok {
		return false
	}
	switch api.ErrorCode {
	case errAccountLimits, errServerLimits, errStorageLimits, errStoreFailed:
		return true
	}
	return false
}

// passing reports whether the broker's no is about the moment: while a cluster
// has no leader, when part of a group got lost on the way to a new one, or with
// too many groups begun and not committed, as those of killed processes are for
// ten seconds. A full disk, too, makes it lose part of a group. Nothing was
// stored, and the same write may succeed soon.
func passing(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (api.Code == http.StatusServiceUnavailable || api.Code == http.StatusTooManyRequests ||
		api.ErrorCode == jetstreamext.JSErrCodeBatchPublishIncomplete || stumbled(err))
}

// stumbled reports whether the broker could not write down a new consumer. One
// of the same name that it has just removed may be in its way for a moment.
func stumbled(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.Code == http.StatusInternalServerError && api.ErrorCode == jetstream.JSErrCodeConsumerCreate && !storeless(err)
}

// lastOn reads the newest message of a subject; nil if there is none.
func lastOn(ctx context.Context, s jetstream.Stream, subject string) (*jetstream.RawStreamMsg, error) {
	m, err := s.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", subject, err)
	}
	return m, nil
}
