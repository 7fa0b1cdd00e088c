package queue

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Acknowledgements are sent and forgotten. What the broker has not worked off
// yet it holds in memory, and as long as there is any of it no lease that ends
// is noticed. So one acknowledgement at a time asks for an answer, and while
// that takes longer than mostBehind no more jobs are taken.
const (
	askedEvery = 250 * time.Millisecond
	mostBehind = 3 * time.Second
	givenUp    = time.Minute // the answer was lost
)

// errBehind says that the broker has not worked off what it was told.
var errBehind = errors.New("NATS is behind with acknowledgements: its disk may be slow")

// acks sends the acknowledgements of one Source. It may be used from any
// goroutine.
type acks struct {
	nc    *nats.Conn
	inbox *nats.Subscription

	mu         sync.Mutex
	asked      time.Time // when the one was sent that is to be answered
	open       bool      // it has not been yet
	reconnects uint64    // of the connection when it was sent
	number     uint64    // of it, which its answer repeats
}

func newAcks(nc *nats.Conn) (*acks, error) {
	a := &acks{nc: nc}
	var err error
	if a.inbox, err = nc.Subscribe(nc.NewInbox()+".*", a.hear); err != nil {
		return nil, fmt.Errorf("listening for answers to acknowledgements: %w", err)
	}
	return a, nil
}

func (a *acks) close() error { return a.inbox.Unsubscribe() }

// send acknowledges on a subject. Nothing depends on it arriving. lent is how
// often the connection had been made anew when the job was lent: a server that
// was started again may have forgotten that, and does not answer then.
func (a *acks) send(subject string, lent uint64) {
	if !a.nc.IsConnected() {
		return
	}
	if inbox := a.question(time.Now(), lent); inbox != "" {
		_ = a.nc.PublishRequest(subject, inbox, []byte("+ACK"))
		return
	}
	_ = a.nc.Publish(subject, []byte("+ACK"))
}

// question is where the next acknowledgement is to be answered, "" if it need
// not be.
func (a *acks) question(now time.Time, lent uint64) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget(now)
	reconnects := a.nc.Stats().Reconnects
	if a.open || now.Sub(a.asked) < askedEvery || lent != reconnects {
		return ""
	}
	a.open, a.asked, a.reconnects = true, now, reconnects
	a.number++
	return a.reply()
}

// reply is the subject of the answer to the last question.
func (a *acks) reply() string {
	return strings.TrimSuffix(a.inbox.Subject, "*") + strconv.FormatUint(a.number, 10)
}

func (a *acks) hear(m *nats.Msg) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open && m.Subject == a.reply() {
		a.open = false
	}
}

// forget gives up on an answer that does not come any more.
func (a *acks) forget(now time.Time) {
	if a.open && (now.Sub(a.asked) >= givenUp || a.reconnects != a.nc.Stats().Reconnects) {
		a.open = false
	}
}

// Behind is how long the broker has been working off acknowledgements that were
// sent before, in steps of a quarter of a second; 0 while it keeps up. From
// three seconds on no more jobs are lent. It may be called from any goroutine.
func (s *Source) Behind() time.Duration { return s.acks.behind() }

// behind is how long the broker has been working on what it was told before.
func (a *acks) behind() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if a.forget(now); !a.open {
		return 0
	}
	return now.Sub(a.asked)
}
