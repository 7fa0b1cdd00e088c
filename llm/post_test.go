package llm

import (
	"errors"
	"net/http/httptrace"
	"testing"

	"github.com/drover-batch/drover/jobs"
)

// A connection that was closed in the meantime is replaced, and what it says
// of its own failure may come after the request was written on the next.
func TestOneBrokenConnectionDoesNotMakeTheNextFree(t *testing.T) {
	got, wrote := "connected", "written"
	broke := "broke"
	for _, row := range []struct {
		steps []string
		want  jobs.Billing
	}{
		{nil, jobs.Free},
		{[]string{got}, jobs.Presumed}, // still being written
		{[]string{got, wrote}, jobs.Presumed},
		{[]string{got, broke}, jobs.Free},
		{[]string{got, broke, got}, jobs.Presumed},
		{[]string{got, broke, got, wrote}, jobs.Presumed},
		{[]string{got, got, wrote, broke}, jobs.Presumed},
		{[]string{got, broke, got, broke}, jobs.Free},
	} {
		var trip trip
		trace := trip.trace()
		for _, step := range row.steps {
			switch step {
			case got:
				trace.GotConn(httptrace.GotConnInfo{})
			case wrote:
				trace.WroteRequest(httptrace.WroteRequestInfo{})
			case broke:
				trace.WroteRequest(httptrace.WroteRequestInfo{Err: errors.New("reset")})
			}
		}
		if b := trip.billing(); b != row.want {
			t.Errorf("%v: %s, want %s", row.steps, b, row.want)
		}
	}
}
