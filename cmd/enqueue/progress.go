package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vbauerster/cupwriter"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// lookEvery is how often a batch is looked at to show how it comes along.
const lookEvery = 250 * time.Millisecond

// display shows how a batch comes along, until it is closed. What is written
// to it meanwhile is shown too, without a mess.
type display interface {
	io.Writer
	show(snapshot)
	close()
}

// newDisplay draws a bar on a terminal and prints a line every few seconds
// anywhere else. unpriced are the models whose price nobody knows.
func newDisplay(w io.Writer, name string, unpriced []string) display {
	free := len(unpriced) > 0
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return newBar(f, name, free)
	}
	return &lines{Writer: w, every: 5 * time.Second, free: free, started: time.Now()}
}

type bar struct {
	*mpb.Progress
	bar  *mpb.Bar
	pace pace
	free bool
	text atomic.Pointer[[]string] // read by the goroutine that draws
}

func newBar(f *os.File, name string, free bool) *bar {
	console := cupwriter.New(margin{f}, false)
	console.SetTermFd(int(f.Fd()))
	b := &bar{Progress: mpb.New(mpb.WithConsoleWriter(console), mpb.WithAutoRefresh()), free: free}
	b.text.Store(&[]string{""})
	b.bar = b.New(0, mpb.BarStyle().Rbound("] "),
		mpb.BarWidth(30),
		mpb.PrependDecorators(decor.Name(clip(plain(name), 20)+" ")),
		mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string { return fit(*b.text.Load(), s.AvailableWidth-1) })),
	)
	return b
}

// margin begins every write at the margin, from which the ^C that a terminal
// shows has moved the cursor away.
type margin struct{ io.Writer }

func (m margin) Write(p []byte) (int, error) {
	n, err := m.Writer.Write(append([]byte{'\r'}, p...))
	return max(0, n-1), err
}

func (b *bar) show(s snapshot) {
	b.pace.update(s.done, time.Now())
	text := b.pace.text(s, b.free)
	b.text.Store(&text)
	b.bar.SetTotal(s.total, false)
	b.bar.SetCurrent(s.done)
}

func (b *bar) close() {
	b.bar.Abort(false)
	b.Wait()
}

// lines prints progress where no bar can be drawn: in logs and pipes.
type lines struct {
	io.Writer
	every   time.Duration
	free    bool
	started time.Time
	shown   time.Time
	last    snapshot
	pace    pace
}

func (l *lines) show(s snapshot) {
	now := time.Now()
	l.pace.update(s.done, now)
	l.last = s
	if now.Sub(l.shown) < l.every {
		return
	}
	l.shown = now
	_, _ = fmt.Fprintln(l, strings.Join(l.pace.text(s, l.free), "  "))
}

func (l *lines) close() {
	if l.last.total > 0 {
		_, _ = fmt.Fprintf(l, "%s  in %s\n", strings.Join(l.pace.text(l.last, l.free), "  "), short(time.Since(l.started)))
	}
}
