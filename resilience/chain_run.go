package resilience

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// run is one job on its way through a chain.
type run struct {
	chain     *Chain // with its defaults filled in
	task      Task
	request   *jobs.Request // grows with the conversation
	meter     *meter        // nil for a plain question
	attempts  []jobs.Attempt
	kept      int  // attempts that are on record with a checkpoint
	safe      bool // somebody else could go on from the last step
	obstacles []*obstacle
	cut       *jobs.Answer // the newest answer that hit its token limit
	cutBy     string       // whose it is
	lavish    bool         // cheaper models have had their chance

	hurried        bool   // a model was passed over to meet the deadline
	chosen         string // the model that is waited for, of those whose quotas are used up
	chosenFailures int    // calls to it before that used up a try

	work                    // which goes on record
	found     *jobs.Finding // of the newest answer that passed its checks
	abridged  *abridgement  // what the newest request leaves out of the document
	desperate bool          // no model has room for the whole document
	overlong  string        // why it was not asked about whole
}

// converse asks one model until it gives an answer that calls no tools. What
// an earlier model of the chain has found out is not asked for again.
func (r *run) converse(ctx context.Context, link *Link) (*jobs.Answer, *obstacle) {
	for {
		answer, stuck := r.ask(ctx, link, step{request: r.request, examine: r.examine})
		if stuck != nil || r.meter == nil || len(answer.Calls) == 0 {
			return answer, stuck
		}
		if fail := r.turn(ctx, answer); fail != nil {
			return nil, r.stopped(ctx, link, fail)
		}
		if stuck := r.keep(ctx); stuck != nil {
			return nil, stuck
		}
	}
}

// turn has the tools run that an answer asks for and adds both to the
// conversation.
func (r *run) turn(ctx context.Context, answer *jobs.Answer) *jobs.Failure {
	r.say(jobs.Message{Role: jobs.Assistant, Text: answer.Text, Calls: answer.Calls, Thoughts: answer.Thoughts})
	if fail := r.meter.run(answer.Calls); fail != nil {
		return fail
	}
	late := r.meter.overlong()
	ctx, cancel := context.WithDeadlineCause(ctx, r.meter.deadline(), late)
	defer cancel()
	replies, err := r.tools(ctx)
	if err == nil {
		r.say(replies...)
		return nil
	}
	if errors.Is(context.Cause(ctx), late) {
		return late
	}
	if fail, ok := errors.AsType[*jobs.Failure](err); ok {
		return fail
	}
	return jobs.Failf(jobs.Internal, "running tools: %v", err)
}

func (r *run) say(messages ...jobs.Message) {
	r.request.Messages = append(slices.Clip(r.request.Messages), messages...)
}

func (r *run) tools(ctx context.Context) (replies []jobs.Message, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked("running tools", v)
		}
	}()
	return r.task.Turn(ctx, r.request.Messages)
}

// stopped ends a conversation. Tools may have had effects, so it is not begun
// again, unless it was we who stopped.
func (r *run) stopped(ctx context.Context, link *Link, fail *jobs.Failure) *obstacle {
	if ctx.Err() != nil {
		return &obstacle{sort: stopping}
	}
	return &obstacle{sort: hopeless, model: link.Model.Name, why: fail.Error(), failure: fail}
}

// halted tells why no call may be begun now, or nil.
func (r *run) halted(ctx context.Context) *obstacle {
	if ctx.Err() != nil || r.task.Expires != nil && !time.Now().Before(r.task.Expires()) {
		return &obstacle{sort: stopping}
	}
	select {
	case <-r.stop():
		return &obstacle{sort: stopping}
	case <-r.task.Lost:
		return &obstacle{sort: stopping}
	default:
	}
	if left, ok := r.left(); ok && left <= 0 {
		return &obstacle{sort: late}
	}
	if r.task.Dropped != nil && !r.irreplaceable() && r.task.Dropped() {
		return &obstacle{sort: dropped, wait: dropSeen}
	}
	return nil
}

// dropSeen is how long a job waits whose batch was paused or cancelled: nobody
// lends it by then, or it is settled without a call.
const dropSeen = time.Second

// irreplaceable reports whether there is a conversation that would be lost.
func (r *run) irreplaceable() bool { return r.meter.underway() && !r.safe }

// stop is closed when the job should go back rather than begin another call.
// A conversation that would be lost, and was paid for, goes on.
func (r *run) stop() <-chan struct{} {
	if r.irreplaceable() {
		return nil
	}
	return r.chain.Stopping
}

// left is the time until the batch's deadline, if it has one.
func (r *run) left() (time.Duration, bool) {
	if r.task.Batch.Deadline.IsZero() {
		return 0, false
	}
	return time.Until(r.task.Batch.Deadline), true
}

// sleep waits, but not beyond what makes the run end: see halted.
func (r *run) sleep(ctx context.Context, d time.Duration) {
	if left, ok := r.left(); ok {
		d = min(d, left)
	}
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-r.stop():
	case <-r.task.Lost:
	}
}

// panicked makes a failure of a panic. Only the runtime's own errors are
// quoted: other values may hold what a job says.
func panicked(doing string, v any) *jobs.Failure {
	what := fmt.Sprintf("a %T", v)
	if err, ok := v.(runtime.Error); ok {
		what = err.Error()
	}
	fail := jobs.Failf(jobs.Internal, "%s panicked: %s", doing, what)
	fail.Billing = jobs.Presumed
	return fail
}
