package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/drover-batch/drover/documents"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

// choice is the documents of a batch that are answered first, and how large
// the others are.
type choice struct {
	ids              map[string]bool
	documents        int64
	bytes, ofSampled int64 // of what is asked
}

// mostSampled keeps a sample from being a batch of its own.
const mostSampled = 10_000

func (in *input) checkSample() error {
	switch {
	case in.sample < 0 || in.sample > mostSampled:
		return fmt.Errorf("--sample %d: use a number up to %d", in.sample, mostSampled)
	case in.yes && in.sample == 0:
		return errors.New("--yes goes on after a --sample: give it one, such as --sample 20")
	case in.sample > 0 && slices.Contains(in.paths, "-"):
		return errors.New("--sample reads everything twice, which standard input cannot be: save it in a file")
	}
	return nil
}

// choose reads everything once and picks n documents by a hash of their custom
// ids, so that it picks the same ones every time, evenly from all. Problems are
// reported here and not again.
func (f *feeder) choose(ctx context.Context, n int) (*choice, error) {
	type picked struct {
		hash  uint64
		id    string
		bytes int64
	}
	var best []picked // by hash
	c := &choice{ids: map[string]bool{}}
	for item, problem := range f.read(ctx) {
		if problem != nil {
			f.report(problem)
			continue
		}
		r, err := f.prompt.Render(&item.Document)
		if err != nil {
			return nil, misused(err)
		}
		h := fnv.New64a()
		_, _ = io.WriteString(h, item.CustomID)
		p := picked{scattered(h.Sum64()), item.CustomID, bytesOf(r)}
		c.documents++
		c.bytes += p.bytes
		at, _ := slices.BinarySearchFunc(best, p, func(a, b picked) int {
			return cmp.Or(cmp.Compare(a.hash, b.hash), strings.Compare(a.id, b.id))
		})
		if at < n {
			best = slices.Insert(best, at, p)
			best = best[:min(len(best), n)]
		}
	}
	for _, p := range best {
		c.ids[p.id] = true
		c.ofSampled += p.bytes
	}
	if c.documents == 0 && ctx.Err() == nil {
		return nil, misused(fmt.Errorf("there is no document to ask about in %s", strings.Join(f.input.paths, " ")))
	}
	f.silent = true
	return c, ctx.Err()
}

// scattered mixes a hash whose neighbours are those of similar texts.
func scattered(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// measured is what a sample came to, and what the whole will by that.
type measured struct {
	Documents int64          `json:"documents"`
	Sampled   int64          `json:"sampled"`
	Answered  int64          `json:"answered"`
	Valid     float64        `json:"valid"` // share that is answered
	Failed    map[string]int `json:"failed,omitempty"`
	Latency   float64        `json:"seconds_per_answer"`
	Cost      bill           `json:"cost_usd"`
	Total     bill           `json:"projected_cost_usd"` // of all, the sample included
	Seconds   float64        `json:"projected_seconds"`  // for the rest
	Bound     string         `json:"bound_by,omitempty"`
}

// measure reads the outcomes of the sample and projects them: costs by the
// length of the documents, time by what calls took and the limits allow.
func (c *choice) measure(ctx context.Context, cfg *config.Config, q *queue.Queue, batch string) (*measured, error) {
	m := &measured{Documents: c.documents, Failed: map[string]int{}}
	loads := map[string]load{}
	var busy time.Duration
	var calls int64
	for o, err := range q.Outcomes(ctx, batch) {
		if err != nil {
			return nil, fmt.Errorf("reading the outcomes of the sample: %w", err)
		}
		if !c.ids[o.CustomID] {
			continue
		}
		m.Sampled++
		if o.Status == jobs.Answered && o.Degraded != jobs.Unavailable {
			m.Answered++
		} else {
			m.Failed[cmp.Or(string(o.Kind), string(o.Status))]++
		}
		m.Cost.cost += o.Cost
		m.Cost.unknown = m.Cost.unknown || o.CostUnknown()
		for _, a := range o.Attempts {
			l := loads[a.Model]
			loads[a.Model] = load{l.calls + 1, l.tokens + a.Usage.Total(), l.busy + a.Took}
			busy += a.Took
			calls++
		}
	}
	if m.Sampled == 0 {
		return nil, errors.New("the sample has no outcome: nothing can be said of the rest")
	}
	byLength := float64(c.bytes) / float64(max(1, c.ofSampled))
	rest := float64(c.documents-m.Sampled) / float64(m.Sampled)
	s := schedule{cfg: cfg}
	for name, l := range loads {
		model := cfg.Models[name]
		s.add(&model, load{int64(float64(l.calls) * rest), int64(float64(l.tokens) * max(0, byLength-1)), time.Duration(float64(l.busy) * rest)})
	}
	took, bound := s.duration()
	m.Valid = float64(m.Answered) / float64(m.Sampled)
	m.Latency = (busy / time.Duration(max(1, calls))).Seconds()
	m.Cost.unknown = m.Cost.unknown && m.Cost.cost == 0
	m.Total = bill{jobs.USD(float64(m.Cost.cost)*byLength + 0.5), m.Cost.unknown}
	m.Seconds, m.Bound = took.Seconds(), bound
	return m, nil
}

// tell shows the measurement to people, or to scripts.
func (m *measured) tell(c *cli) {
	if c.json {
		_, _ = c.err.Write(documents.JSON(map[string]any{"sample": m}))
		return
	}
	failed := ""
	for _, kind := range slices.Sorted(maps.Keys(m.Failed)) {
		failed += fmt.Sprintf(", %d %s", m.Failed[kind], plain(kind))
	}
	c.say("sample: %d of %d documents, %d answered (%.0f %%)%s", m.Sampled, m.Documents, m.Answered, 100*m.Valid, failed)
	c.say("sample: %s a call, cost %s", short(seconds(m.Latency)), m.Cost.short())
	if m.Documents > m.Sampled {
		all := ""
		if !m.Total.unknown {
			all = fmt.Sprintf("all %d cost about %s, and ", m.Documents, m.Total.short())
		}
		c.say("by that %sthe rest takes about %s, bound by %s", all, short(seconds(m.Seconds)), m.Bound)
	}
}

// goOn asks whether to answer the rest. Where nobody can be asked, only --yes
// says so.
func (c *cli) goOn(in *input, m *measured) bool {
	if in.yes || m.Sampled >= m.Documents {
		return true
	}
	rest := m.Documents - m.Sampled
	f, ok := c.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		c.say("Stopped after the sample. The same command with --yes goes on with the other %d; what is answered is not paid again.", rest)
		return false
	}
	_, _ = fmt.Fprintf(c.err, "Go on with the other %d? [y/N] ", rest)
	line, err := bufio.NewReader(f).ReadString('\n')
	if err != nil { // nobody pressed return
		_, _ = fmt.Fprintln(c.err)
	}
	if answer := strings.ToLower(strings.TrimSpace(line)); answer == "y" || answer == "yes" {
		return true
	}
	c.say("Stopped after the sample. The same command goes on with the other %d; what is answered is not paid again.", rest)
	return false
}

// rehearse answers the sample first, if there is to be one, and reports
// whether to go on with the rest. why is set if it came to an early end.
func (s *session) rehearse(ctx context.Context) (goOn bool, why, err error) {
	in := s.feeder.input
	if in.sample == 0 {
		return true, nil, nil
	}
	if p, err := s.servers.Queue.Progress(ctx, s.batch.ID); err == nil && p.Total > int64(in.sample) {
		s.say("the batch has begun with more than the sample: going on with it")
		return true, nil, nil
	}
	picked, err := s.feeder.choose(ctx, in.sample)
	if err != nil {
		return false, nil, err
	}
	s.feeder.only = picked.ids
	if why, err = s.work(ctx); err != nil || !errors.Is(why, errOver) {
		return false, why, err
	}
	if p, err := s.servers.Queue.Progress(ctx, s.batch.ID); err != nil || !p.Over() {
		return false, why, err
	}
	m, err := picked.measure(ctx, s.cfg, s.servers.Queue, s.batch.ID)
	if err != nil {
		return false, nil, err
	}
	m.tell(s.cli)
	s.feeder.only = nil
	s.fed.Store(false)
	if !s.goOn(in, m) {
		return false, errSampled, nil
	}
	return true, nil, nil
}

// errSampled is why a session ends that stops after its sample.
var errSampled = errors.New("the sample is answered")
