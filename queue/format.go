package queue

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// The newest forms of streams and of batches that this build knows. They go up
// with what an older build would get wrong: streams laid out otherwise, or a
// batch that asks for what it would pass over. What it may ignore needs no other
// number, and a batch that asks for nothing new keeps the lower one. Streams and
// batches without a number are of the first format.
const (
	streamFormat = 1
	batchFormat  = replayedOtherwise
)

// The forms of batches.
const (
	plain             = 1 // all of its jobs are asked with what it says
	replayedOtherwise = 2 // jobs may have an Instead
)

// formatKey is where the metadata of the stream of jobs say its format.
const formatKey = "drover-format"

var errNewer = errors.New("it is of a newer build of Drover")

// known refuses streams that a newer build laid out.
func known(s jetstream.Stream) error {
	c := s.CachedInfo().Config
	if n, _ := strconv.Atoi(c.Metadata[formatKey]); n > streamFormat {
		return fmt.Errorf("stream %s: %w: its format is %d, this build knows %d; use the newer build", c.Name, errNewer, n, streamFormat)
	}
	return nil
}

// known refuses to change a batch that a newer build submitted: what this build
// does not know of it would be lost.
func (m *manifest) known() error {
	if m.Format > batchFormat {
		return fmt.Errorf("%w: its format is %d, this build knows %d; use the newer build", errNewer, m.Format, batchFormat)
	}
	return nil
}

// leave notes that a batch is left to the workers of a newer build.
func (s *Source) leave(m *manifest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.left[m.ID] {
		s.left[m.ID] = true
		s.newer = append(s.newer, m.ID)
	}
}

// Newer returns batches that wait for workers of a newer build, since this one
// does not know all that they ask for: each once, when it was met. It may be
// called from any goroutine.
func (s *Source) Newer() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	newer := s.newer
	s.newer = nil
	return newer
}

// passOver notes that jobs wait in a batch whose record cannot be read.
func (s *Source) passOver(batch string, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left[batch] {
		return
	}
	if s.broken == nil {
		s.broken = map[string]error{}
	}
	s.left[batch], s.broken[batch] = true, why
}

// Broken returns batches whose jobs nobody is asked about, since their record
// cannot be read, and why: each once. It may be called from any goroutine.
func (s *Source) Broken() map[string]error {
	s.mu.Lock()
	defer s.mu.Unlock()
	broken := s.broken
	s.broken = nil
	return broken
}
