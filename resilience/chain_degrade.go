package resilience

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// Cache looks up an earlier answer to the same request by its RequestKey. It
// returns nil if there is none.
type Cache func(ctx context.Context, key string) (*jobs.Outcome, error)

// RequestKey is the same for the same request to the same chain by the same
// tenant, and for nothing else: no tenant is ever given another's answer.
func RequestKey(tenant, chain string, r *jobs.Request) string {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%d:%s%d:%s", len(tenant), tenant, len(chain), chain)
	_ = json.NewEncoder(h).Encode(r) // a request has nothing that cannot be encoded
	return hex.EncodeToString(h.Sum(nil))
}

// CacheKey is the RequestKey of a batch's request. What is demanded of answers
// is part of it: one that passed fewer checks never stands in.
func CacheKey(b *jobs.Batch, r *jobs.Request) string {
	chain := b.Chain
	if d := b.DemandsDigest(); d != "" {
		chain += "\x00" + d
	}
	return RequestKey(b.Tenant, chain, r)
}

// standIn is what the batch accepts instead of an answer when no model can
// give one, or nil if it accepts nothing, or nothing is there.
func (r *run) standIn(ctx context.Context) *jobs.Outcome {
	degrade := r.task.Batch.Degrade
	if degrade.Cached && r.chain.Cache != nil && r.meter == nil { // the request of a job with tools need not have its document
		key := CacheKey(r.task.Batch, r.task.Request)
		earlier, err := r.chain.Cache(ctx, key)
		switch {
		case err != nil:
			r.chain.report(fmt.Errorf("looking for an earlier answer: %w", err))
		case earlier != nil:
			return r.cached(earlier)
		}
	}
	if degrade.Unavailable != "" {
		o := r.outcome(jobs.Answered)
		o.Degraded, o.Answer = jobs.Unavailable, degrade.Unavailable
		o.Reason = "the batch's own text stands in because " + r.clauses()
		return o
	}
	return nil
}

func (r *run) cached(earlier *jobs.Outcome) *jobs.Outcome {
	o := r.outcome(jobs.Answered)
	o.Degraded = jobs.Cached
	o.Repeat(earlier)
	when := ""
	if !earlier.Finished.IsZero() {
		when = " of " + earlier.Finished.UTC().Format(time.DateTime) + " UTC"
	}
	o.Reason = fmt.Sprintf("an earlier answer%s to the same request stands in because %s", when, r.clauses())
	return o
}
