package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/drover-batch/drover/jobs"
)

// pullTimeout is how long a pull's answer may take beyond the wait it asked
// for.
const pullTimeout = 2 * time.Second

// pulled is a message of a batch, and when the lease it comes with ends.
type pulled struct {
	l       *live
	msg     *nats.Msg
	expires time.Time
}

// pulls asks for jobs, of several batches at a time, all answered to one
// inbox. An inbox with requests that were given up on is set aside, so that
// what still arrives there is handed back rather than left to its lease or
// taken for the answer to a later request.
type pulls struct {
	q    *Queue
	in   *inbox
	old  []*inbox
	open map[string]*pull // by batch
}

type inbox struct {
	*nats.Subscription
	prefix string
	late   map[string]*pull // those that were given up on, by batch
}

// pull is one request: up to want jobs of a batch.
type pull struct {
	l     *live
	want  int
	asked time.Time
}

func newPulls(q *Queue) (*pulls, error) {
	p := &pulls{q: q, open: map[string]*pull{}}
	return p, p.renew()
}

// keptInboxes is how many inboxes are listened to that should stay silent.
const keptInboxes = 3

// renew sets the inbox aside and opens another.
func (p *pulls) renew() error {
	in := &inbox{prefix: p.q.nc.NewInbox() + "."}
	var err error
	if in.Subscription, err = p.q.nc.SubscribeSync(in.prefix + "*"); err != nil {
		return fmt.Errorf("opening an inbox: %w", err)
	}
	if err := in.SetPendingLimits(-1, -1); err != nil { // what is asked for is bounded, its size is not
		return fmt.Errorf("opening an inbox: %w", err)
	}
	if p.in != nil {
		p.old = append(p.old, p.in)
	}
	p.in = in
	if len(p.old) > keptInboxes {
		err = p.old[0].Unsubscribe()
		p.old = p.old[1:]
	}
	return err
}

// ask requests jobs of a batch. Without a wait it gets what there is; with
// one, it waits that long for the first. The lease counts from here.
func (p *pulls) ask(l *live, want int, wait time.Duration) error {
	body, err := json.Marshal(struct {
		Batch   int           `json:"batch"`
		NoWait  bool          `json:"no_wait"`
		Expires time.Duration `json:"expires,omitempty"`
	}{want, true, wait})
	if err != nil {
		return fmt.Errorf("asking for jobs of batch %s: %w", l.Name, err)
	}
	r := &pull{l: l, want: want, asked: time.Now()}
	subject := "$JS.API.CONSUMER.MSG.NEXT." + p.q.stream("JOBS") + "." + l.Name
	if err := p.q.nc.PublishRequest(subject, p.in.prefix+l.Name, body); err != nil {
		return fmt.Errorf("asking for jobs of batch %s: %w", l.Name, err)
	}
	p.open[l.Name] = r
	return nil
}

// collect gathers the answers to all requests, giving up on those that are
// not answered in time.
func (p *pulls) collect(ctx context.Context, wait time.Duration) (got []pulled, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wait+pullTimeout)
	defer cancel()
	for len(p.open) > 0 && p.q.nc.IsConnected() {
		m, next := p.in.next(ctx)
		if errors.Is(next, nats.ErrNoResponders) { // it does not say for which
			for _, r := range p.open {
				r.l.bound = false
			}
			err = fmt.Errorf("asking for jobs: %w", next)
		}
		if next != nil {
			break
		}
		if m == nil {
			continue
		}
		if batch, ok := strings.CutPrefix(m.Subject, p.in.prefix); ok {
			p.status(batch, m.Header.Get("Status"))
			continue
		}
		batch, _ := p.q.names.parseJob(m.Subject)
		r := p.open[batch]
		if r == nil {
			continue // more than was asked for: its lease ends
		}
		got = append(got, pulled{r.l, m, r.asked.Add(r.l.lease)})
		if r.want--; r.want == 0 {
			delete(p.open, r.l.Name)
		}
	}
	if len(p.open) > 0 {
		p.in.late, p.open = p.open, map[string]*pull{}
		err = errors.Join(err, p.renew())
	}
	return got, err
}

// status takes note that no more will come of a request. Anything but having
// run out of jobs means that the consumer may be gone.
func (p *pulls) status(batch, status string) {
	r := p.open[batch]
	switch {
	case r == nil, status == "100": // a heartbeat
		return
	case status != "404" && status != "408":
		r.l.bound = false
	}
	delete(p.open, batch)
}

// next is the next message, or nil: it looks up from time to time, so that a
// lost connection is not waited for.
func (in *inbox) next(ctx context.Context) (*nats.Msg, error) {
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	m, err := in.NextMsgWithContext(short)
	if err != nil && ctx.Err() == nil && short.Err() != nil {
		return nil, nil
	}
	return m, err
}

// sweep hands back what nobody waits for any more.
func (p *pulls) sweep(ctx context.Context) {
	var refusing sync.WaitGroup
	defer refusing.Wait()
	for _, in := range append(p.old, p.in) {
		for {
			if n, _, err := in.Pending(); err != nil || n == 0 {
				break
			}
			m, err := in.next(ctx)
			if err != nil {
				break
			}
			if m == nil {
				continue
			}
			batch, _ := p.q.names.parseJob(m.Subject)
			if r := in.late[batch]; r != nil {
				refusing.Go(func() { p.refuse(ctx, m, r.asked.Add(r.l.lease), time.Millisecond) })
			}
		}
	}
}

// refuse hands back a job that nobody was lent, for a while; past its lease it
// is somebody else's. That is on record first, or it would count as a death.
func (p *pulls) refuse(ctx context.Context, m *nats.Msg, until time.Time, wait time.Duration) {
	meta, err := m.Metadata()
	if err != nil || !p.q.nc.IsConnected() {
		return
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), until)
	defer cancel()
	batch, _ := p.q.names.parseJob(m.Subject)
	j := &jobs.Job{ID: jobs.ID(m.Header.Get(jobHeader)), Batch: batch, Run: max(1, runOf(m.Header))}
	_ = p.q.recordReturn(ctx, j, meta.NumDelivered, nil)
	if time.Now().Before(until) {
		p.refuseFor(m.Reply, wait)
	}
}

func (p *pulls) refuseFor(ack string, wait time.Duration) {
	if strings.HasPrefix(ack, "$JS.ACK.") && p.q.nc.IsConnected() {
		_ = p.q.nc.Publish(ack, fmt.Appendf(nil, `-NAK {"delay":%d}`, wait))
	}
}

// close stops listening and hands back what nobody will read.
func (p *pulls) close() error {
	p.sweep(context.Background())
	var errs []error
	for _, in := range append(p.old, p.in) {
		errs = append(errs, in.Unsubscribe())
	}
	if err := errors.Join(errs...); err != nil && !p.q.nc.IsClosed() {
		return fmt.Errorf("closing an inbox: %w", err)
	}
	return nil
}
