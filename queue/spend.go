package queue

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/drover-batch/drover/jobs"
)

// inBody says that the spends do not fit a header; they are to be taken from
// the attempts in the body.
const inBody = "body"

// A message's headers may take 64 KiB in all.
const mostSpendBytes = 32 << 10

// spend is one paid attempt as the header holds it.
type spend struct {
	Call    string       `json:"c"`
	Model   string       `json:"m"`
	At      int64        `json:"t"` // microseconds, as Took
	Took    int64        `json:"d,omitempty"`
	Cost    jobs.USD     `json:"$"`
	Billing jobs.Billing `json:"b"`
}

// setSpends puts what the attempts cost into the message's headers, so that
// the book can be read without any body.
func setSpends(m *nats.Msg, tenant string, attempts []jobs.Attempt) {
	m.Header.Set(tenantHeader, headerSafe(tenant))
	var paid []spend
	for _, a := range attempts {
		if a.Cost != 0 {
			paid = append(paid, spend{a.Call, a.Model, a.Started.UnixMicro(), a.Took.Microseconds(), a.Cost, a.Billing})
		}
	}
	if len(paid) == 0 {
		return
	}
	text, _ := json.Marshal(paid) // strings and numbers: cannot fail
	if len(text) > mostSpendBytes {
		text = []byte(inBody)
	}
	m.Header.Set(spendHeader, string(text))
}

// spends reads what setSpends wrote. fits is false if it has to be taken from
// the body.
func spends(batch string, h nats.Header) (entries []jobs.Spend, fits bool, err error) {
	text := h.Get(spendHeader)
	switch text {
	case "":
		return nil, true, nil
	case inBody:
		return nil, false, nil
	}
	var paid []spend
	if err := json.Unmarshal([]byte(text), &paid); err != nil {
		return nil, false, fmt.Errorf("decoding the header %s: %w", spendHeader, err)
	}
	for _, s := range paid {
		entries = append(entries, jobs.Spend{
			Call: s.Call, Batch: batch, Tenant: h.Get(tenantHeader), Model: s.Model,
			At: time.UnixMicro(s.At).UTC(), Took: time.Duration(s.Took) * time.Microsecond, Cost: s.Cost, Billing: s.Billing,
		})
	}
	return entries, true, nil
}

// spendsOf is the same from the attempts themselves.
func spendsOf(batch, tenant string, attempts []jobs.Attempt) []jobs.Spend {
	var entries []jobs.Spend
	for _, a := range attempts {
		if a.Cost != 0 {
			entries = append(entries, jobs.Spend{
				Call: a.Call, Batch: batch, Tenant: tenant, Model: a.Model,
				At: a.Started.UTC(), Took: a.Took, Cost: a.Cost, Billing: a.Billing,
			})
		}
	}
	return entries
}
