package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// Objection is a promise that was not kept.
type Objection struct {
	Job  Job // whose; zero if no one job's
	Text string
}

func (o Objection) String() string {
	if o.Job == (Job{}) {
		return o.Text
	}
	return o.Job.String() + " " + o.Text
}

// Audit is what an examination found.
type Audit struct {
	Objections []Objection
	Figures    Figures

	*Evidence
	names    map[jobs.ID]Job
	tenants  map[string]string // by batch
	outcomes map[Job]*Outcome  // the newest
	book     map[Job][]*record // what is on record
	calls    []*call           // those paid for, in order
}

// Examine verifies everything there is to verify.
func Examine(e *Evidence) *Audit {
	a := &Audit{Evidence: e, names: map[jobs.ID]Job{}, tenants: map[string]string{}, outcomes: map[Job]*Outcome{}}
	for _, b := range e.Batches {
		a.tenants[b.ID] = b.Tenant
		for _, id := range b.Accepted {
			a.names[jobs.NewID(b.ID, id)] = Job{b.ID, id}
		}
	}
	a.checkOutcomes()
	a.checkRest()
	a.read()
	a.attribute()
	a.checkRecords()
	a.checkOrder()
	a.checkAgain()
	a.checkMoney()
	a.checkQuotas()
	a.checkSecrets()
	a.count()
	slices.SortStableFunc(a.Objections, func(x, y Objection) int { return strings.Compare(x.String(), y.String()) })
	return a
}

func (a *Audit) object(job Job, format string, args ...any) {
	a.Objections = append(a.Objections, Objection{job, fmt.Sprintf(format, args...)})
}

func clock(at time.Time) string { return at.UTC().Format("15:04:05.000") }

// during returns the first fault that the claim holds for and that happened to
// the worker, or to everybody, between the two times.
func (a *Audit) during(from, to time.Time, worker string, is func(*Fault) bool) *Fault {
	for i := range a.Faults {
		if f := &a.Faults[i]; f.about(worker) && f.overlaps(from, to) && is(f) {
			return f
		}
	}
	return nil
}

// since reports whether a fault that the claim holds for befell the worker, or
// everybody, and was not over before a time.
func (a *Audit) since(from time.Time, worker string, is func(*Fault) bool) bool {
	return slices.ContainsFunc(a.Faults, func(f Fault) bool { return f.about(worker) && !f.To.Before(from) && is(&f) })
}

// while reports whether a fault of one of the kinds lasted while another did,
// whomever they befell.
func (a *Audit) while(f *Fault, kinds ...Kind) bool {
	return slices.ContainsFunc(a.Faults, func(other Fault) bool {
		return slices.Contains(kinds, other.Kind) && other.overlaps(f.From, f.To)
	})
}
