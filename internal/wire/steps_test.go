package wire

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/audit"
)

// step is a step of the protocol, as it can be seen on a process's link.
type step string

// The steps in the order in which a job takes them, and those beside.
const (
	pulled    step = "pull"      // jobs are asked for, and one arrives
	looked    step = "look"      // for an outcome that is there already
	entered   step = "enter"     // the gate lets a call in
	noted     step = "note"      // the call is on record before it is made
	called    step = "call"      // the request goes to the provider, the answer comes
	left      step = "leave"     // the gate learns what became of the call
	stored    step = "outcome"   // the outcome is stored
	buried    step = "letter"    // and its dead letter
	acked     step = "ack"       // the job is let go of
	wasted    step = "waste"     // money spent without an outcome is on record
	presumed  step = "presume"   // and that of calls whose worker died
	returned  step = "return"    // an orderly return is on record
	handed    step = "hand back" // and the job goes back
	renewed   step = "renew"     // a job's lease is extended
	beaten    step = "beat"      // and a call's
	enqueued  step = "enqueue"   // a job goes into the queue
	elsewhere step = ""          // what no trap waits for
)

// moment is which side of a step something happens on.
type moment bool

const (
	before moment = false // what was sent has left the process and gets nowhere
	after  moment = true  // it has got there, and the reply has not arrived
)

func (m moment) String() string {
	if m == after {
		return "after"
	}
	return "before"
}

// trap waits for a step and then springs, once.
type trap struct {
	step   step
	when   moment
	nth    int           // of those from now on, 1 is the next
	spring func(l *link) // may be nil
	lose   bool          // what passes, or the reply to it
	sprung chan struct{}
}

// arm sets a trap on the link.
func (l *link) arm(t trap) *trap {
	t.sprung = make(chan struct{})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.traps = append(l.traps, &t)
	return &t
}

// disarm takes a trap away.
func (l *link) disarm(t *trap) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.traps = slices.DeleteFunc(l.traps, func(o *trap) bool { return o == t })
}

// meet springs the traps that wait for what just happens, and reports whether
// it is to be lost.
func (l *link) meet(when moment, steps ...step) (lost bool) {
	l.mu.Lock()
	var due []*trap
	l.traps = slices.DeleteFunc(l.traps, func(t *trap) bool {
		if t.when != when || !slices.Contains(steps, t.step) {
			return false
		}
		if t.nth--; t.nth > 0 {
			return false
		}
		due = append(due, t)
		return true
	})
	l.mu.Unlock()
	for _, t := range due {
		l.w.note(audit.Fault{Kind: audit.Network, Worker: l.name, From: time.Now(), To: time.Now().Add(10 * time.Second)})
		if t.spring != nil {
			t.spring(l)
		}
		lost = lost || t.lose
		close(t.sprung)
	}
	return lost
}

// redisSteps are what a command to Redis does: a run of the gate's script may
// let calls in, let calls go and keep calls alive, all at once.
func redisSteps(cmd redis.Cmder) []step {
	args := cmd.Args()
	if name := cmd.Name(); name == "hello" || name == "client" {
		return []step{elsewhere} // a new connection's greeting
	}
	if len(args) < 5 || cmd.Name() != "evalsha" && cmd.Name() != "eval" {
		return nil
	}
	if key, _ := args[4].(string); !strings.HasSuffix(key, ":calls") {
		return nil
	}
	var steps []step
	for i, kind := range []any{"E", "L", "B"} {
		if slices.Contains(args, kind) {
			steps = append(steps, []step{entered, left, beaten}[i])
		}
	}
	return steps
}

// frame is one message of NATS' protocol, with its payload.
type frame struct {
	data    []byte
	verb    string
	subject string
	reply   string
	payload []byte
}

// cutFrame takes the first frame off a buffer; ok is false if it is not whole.
func cutFrame(buf []byte) (f frame, rest []byte, ok bool) {
	line, _, found := bytes.Cut(buf, []byte("\r\n"))
	if !found {
		return f, buf, false
	}
	fields := strings.Fields(string(line))
	if len(fields) > 0 {
		f.verb = strings.ToUpper(fields[0])
	}
	size := len(line) + 2
	counts := 0 // fields at the end that count bytes
	switch f.verb {
	case "PUB", "MSG":
		counts = 1
	case "HPUB", "HMSG":
		counts = 2
	}
	if counts > 0 {
		n := atoi(fields[len(fields)-1])
		if len(buf) < size+n+2 {
			return f, buf, false
		}
		f.payload = buf[size : size+n]
		size += n + 2
		f.subject = fields[1]
		names := fields[2 : len(fields)-counts]
		if strings.HasSuffix(f.verb, "MSG") {
			names = names[1:] // the subscription's
		}
		if len(names) > 0 {
			f.reply = names[0]
		}
	}
	f.data = buf[:size]
	return f, buf[size:], true
}

func atoi(s string) (n int) {
	for _, c := range s {
		n = 10*n + int(c-'0')
	}
	return n
}

// asks is the step that a client's frame takes.
func (f *frame) asks(prefix string) step {
	if !strings.HasSuffix(f.verb, "PUB") {
		return elsewhere
	}
	if what, ok := strings.CutPrefix(f.subject, prefix+"."); ok {
		kind, _, _ := strings.Cut(what, ".")
		return map[string]step{
			"jobs": enqueued, "outcomes": stored, "dead": buried, "waste": wasted, "lapsed": presumed, "returns": returned, "calls": noted,
		}[kind]
	}
	switch upper := strings.ToUpper(prefix); {
	case strings.HasPrefix(f.subject, "$JS.API.CONSUMER.MSG.NEXT.DROVER_JOBS."):
		return pulled
	case strings.HasPrefix(f.subject, "$JS.API.DIRECT.GET."+upper+"_OUTCOMES"), strings.HasPrefix(f.subject, "$JS.API.STREAM.MSG.GET."+upper+"_OUTCOMES"):
		return looked
	case !strings.HasPrefix(f.subject, "$JS.ACK."):
		return elsewhere
	case bytes.Contains(f.payload, []byte("+ACK")):
		return acked
	case bytes.Contains(f.payload, []byte("-NAK")):
		return handed
	case bytes.Contains(f.payload, []byte("+WPI")):
		return renewed
	}
	return elsewhere
}

// lends reports whether a server's frame brings a job.
func (f *frame) lends(prefix string) bool {
	return strings.HasSuffix(f.verb, "MSG") && strings.HasPrefix(f.subject, prefix+".jobs.") && strings.HasPrefix(f.reply, "$JS.ACK.")
}
