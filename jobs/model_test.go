package jobs_test

import (
	"testing"

	"github.com/drover-batch/drover/jobs"
)

func TestModelHasRoomForTheShortestAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		context       int
		input, output int64
		room          bool
	}{
		{context: 0, input: 1 << 40, output: 4096, room: true},
		{context: 8000, input: 8000 - jobs.LeastAnswer, output: 4096, room: true},
		{context: 8000, input: 8001 - jobs.LeastAnswer, output: 4096},
		{context: 8000, input: 7990, output: 10, room: true},
		{context: 8000, input: 7991, output: 10},
	} {
		m := jobs.Model{Context: c.context}
		if m.HasRoom(c.input, c.output) != c.room {
			t.Errorf("%d tokens and up to %d in %d: room is %v", c.input, c.output, c.context, !c.room)
		}
	}
}
