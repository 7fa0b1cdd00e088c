package main

import (
	"context"
	"io"
	"strings"

	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
)

// still is how many looks in a row show a batch that is not coming along before
// it is told why: half a minute.
const still = 120

// standstill notices that a batch does not come along.
type standstill struct {
	looks int
	done  int64
}

// lasts reports whether it is time to tell.
func (l *standstill) lasts(st *standing) bool {
	if l.looks++; st.Done != l.done || st.State != jobs.Live || st.Queued+st.Running == 0 {
		l.looks, l.done = 0, st.Done
	}
	return l.looks == still
}

// tellStandstill says what may keep a batch from coming along, if anything is
// to be seen: calls may just take long.
func tellStandstill(ctx context.Context, w io.Writer, s *wire.Servers, b *jobs.Batch, st *standing) {
	why, err := s.Standstill(ctx, b)
	if err != nil {
		return // looked at again, and told, as the batch is
	}
	if st.Running == 0 {
		why = append(why, "no worker has any of its documents: is one running, with the same servers?")
	}
	if len(why) > 0 {
		tell(w, "nothing was done for half a minute; %s", plain(strings.Join(why, "; ")))
	}
}
