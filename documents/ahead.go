package documents

import (
	"context"
	"runtime"
	"sync"
)

// What is read before its turn: enough to keep the cores at work behind a file
// that takes long, and no more than memory has room for.
const (
	mostReaders = 4        // of PDF files: each takes 70 MiB (measured), and its sandbox may grow to 1 GiB
	aheadBytes  = 64 << 20 // of files that wait together
)

// ahead are the turns of a walk that have not come yet, in the order in which
// they were found. Files that take long are read meanwhile, side by side.
type ahead struct {
	turns []turn
	most  int // of them
	bytes int64
	pdfs  readers

	ctx     context.Context // of what is read before its turn
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// turn hands over what was found at one place, and reports whether more is
// wanted.
type turn struct {
	bytes int64
	take  func() bool
}

func newAhead(ctx context.Context) *ahead {
	a := &ahead{}
	for range min(runtime.GOMAXPROCS(0), mostReaders) {
		a.pdfs.free = append(a.pdfs.free, &pdfReader{})
	}
	a.most = 2 * len(a.pdfs.free)
	a.ctx, a.cancel = context.WithCancel(ctx)
	return a
}

// readers are handed out in the order in which they were asked for, so that the
// file whose turn is next does not wait for one behind it.
type readers struct {
	mu      sync.Mutex
	free    []*pdfReader
	waiting []chan *pdfReader
}

// ask returns where a reader will be handed over.
func (r *readers) ask() <-chan *pdfReader {
	r.mu.Lock()
	defer r.mu.Unlock()
	handed := make(chan *pdfReader, 1)
	if last := len(r.free) - 1; last >= 0 {
		handed <- r.free[last]
		r.free = r.free[:last]
	} else {
		r.waiting = append(r.waiting, handed)
	}
	return handed
}

func (r *readers) put(p *pdfReader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) > 0 {
		r.waiting[0] <- p
		r.waiting = r.waiting[1:]
	} else {
		r.free = append(r.free, p)
	}
}

// close ends what is being read, and waits for it.
func (a *ahead) close() {
	a.cancel()
	a.running.Wait()
	for _, p := range a.pdfs.free {
		p.close()
	}
}

// line puts a turn behind those that wait. While they are too many, the first
// of them is taken.
func (a *ahead) line(t turn) bool {
	for len(a.turns) > 0 && (len(a.turns) >= a.most || a.bytes+t.bytes > aheadBytes) {
		if !a.next() {
			return false
		}
	}
	a.turns, a.bytes = append(a.turns, t), a.bytes+t.bytes
	return true
}

// all takes every turn that waits.
func (a *ahead) all() bool {
	for len(a.turns) > 0 {
		if !a.next() {
			return false
		}
	}
	return true
}

func (a *ahead) next() bool {
	t := a.turns[0]
	a.turns, a.bytes = a.turns[1:], a.bytes-t.bytes
	return t.take()
}

// report tells a problem when its turn comes.
func (w *walk) report(p *Problem) bool {
	if len(w.ahead.turns) == 0 {
		return w.yield(Item{}, p)
	}
	return w.ahead.line(turn{take: func() bool { return w.yield(Item{}, p) }})
}

// inTurn reads a source when its turn has come: at once, if nothing is before
// it. One that takes long, or waits behind one that does, is begun before.
func (w *walk) inTurn(s *source, done func()) bool {
	f := s.recognise()
	if f.pace == many || f.pace == quick && len(w.ahead.turns) == 0 {
		defer done()
		return w.ahead.all() && s.guarded(f)
	}
	type finding struct {
		item    Item
		problem *Problem
	}
	found := make(chan finding, 1) // there is one document
	s.walk = &walk{config: w.config, ctx: w.ahead.ctx, ids: newRegister(), ahead: w.ahead}
	s.yield = func(item Item, p *Problem) bool {
		found <- finding{item, p}
		return true
	}
	begun := turn{bytes: s.size, take: func() bool {
		is, ok := <-found
		if !ok || w.ctx.Err() != nil {
			return false
		}
		if is.problem == nil {
			is.problem = w.ids.add(is.item.CustomID, s, 0)
		}
		if is.problem != nil {
			is.item = Item{}
		}
		return w.yield(is.item, is.problem)
	}}
	if !w.ahead.line(begun) {
		done()
		return false
	}
	var reader <-chan *pdfReader
	if f.name == "pdf" {
		reader = w.ahead.pdfs.ask()
	}
	w.ahead.running.Go(func() {
		defer done()
		defer close(found)
		if reader != nil {
			s.reader = <-reader
			defer w.ahead.pdfs.put(s.reader)
		}
		s.guarded(f)
	})
	return true
}
