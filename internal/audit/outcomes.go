package audit

import "github.com/drover-batch/drover/jobs"

// checkOutcomes: every accepted job has one outcome, or one for each run;
// nothing else has any; and exactly the dead ones have a letter.
func (a *Audit) checkOutcomes() {
	type run struct {
		job Job
		n   int
	}
	first := map[run]uint64{}
	for i := range a.Outcomes {
		o := &a.Outcomes[i]
		job := Job{o.Batch, o.CustomID}
		if a.names[o.Job] != job {
			a.object(job, "has an outcome, but was never accepted")
		}
		if seq, twice := first[run{job, o.Run}]; twice && (seq != o.Sequence || seq == 0) {
			a.object(job, "has two outcomes of run %d", o.Run)
			a.Figures.Doubles++
		}
		first[run{job, o.Run}] = o.Sequence
		if newest := a.outcomes[job]; newest == nil || newest.Sequence <= o.Sequence {
			a.outcomes[job] = o
		}
	}
	letters := map[Job]bool{}
	for _, l := range a.Letters {
		letters[Job{l.Job.Batch, l.Job.CustomID}] = true
	}
	for _, b := range a.Batches {
		for _, id := range b.Accepted {
			job := Job{b.ID, id}
			o := a.outcomes[job]
			switch {
			case o == nil:
				a.object(job, "has no outcome")
				a.Figures.Lost++
			case o.Status == jobs.Dead && !letters[job]:
				a.object(job, "is dead and has no dead letter")
			case o.Status != jobs.Dead && letters[job]:
				a.object(job, "is %s and has a dead letter", o.Status)
			}
		}
	}
}

// checkRest: nothing is queued or lent any more, and the broker counts as many
// jobs as were accepted.
func (a *Audit) checkRest() {
	for _, b := range a.Batches {
		r := a.Rest[b.ID]
		if r.Queued != 0 || r.Unacknowledged != 0 {
			a.object(Job{}, "batch %s is over with %d jobs queued and %d unacknowledged", b.ID, r.Queued, r.Unacknowledged)
		}
		if r.Total != int64(len(b.Accepted)) {
			a.object(Job{}, "batch %s has %d jobs, and %d were accepted", b.ID, r.Total, len(b.Accepted))
		}
	}
}
