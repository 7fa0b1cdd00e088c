package queue

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// Config is how the queue is laid out and how it lends. Create and Open of
// all processes must be given the same Prefix.
type Config struct {
	// Prefix begins every subject, and in capitals every stream and bucket.
	// Default "drover".
	Prefix string

	// Lease is how long a job stays lent without a renewal. Default 30s.
	Lease time.Duration

	// Replicas is how many servers of a cluster keep each message. Default 1.
	Replicas int

	// MaxBytes bounds the jobs that wait; when they fill it, enqueueing waits.
	// Keep it well below the disk. Default 0, no bound.
	MaxBytes int64

	// MaxLiveBatches is how many batches may have begun and not be over, all
	// workers together; paused ones do not count. Each takes the broker 50 KB.
	// Further ones begin as others end, in the order in which batches are dealt
	// jobs; a quarter of the places is kept for tenants that have none and for
	// batches that would miss their deadline. Default 2048.
	MaxLiveBatches int

	// MaxDeliveries is how many workers a job may kill before it is buried as
	// poison. Default 5.
	MaxDeliveries int

	// StorePatience is how long storing an outcome is tried again while NATS
	// is away and no spool takes it. Default 2m.
	StorePatience time.Duration

	// CacheFor is how long an answer is remembered for Recall. Default 168h.
	CacheFor time.Duration
}

// suspicious is how many workers a job must have killed before it is lent
// alone.
const suspicious = 3

func (c Config) withDefaults() Config {
	if c.Prefix == "" {
		c.Prefix = "drover"
	}
	if c.Lease == 0 {
		c.Lease = 30 * time.Second
	}
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	if c.MaxLiveBatches == 0 {
		c.MaxLiveBatches = 2048
	}
	if c.MaxDeliveries == 0 {
		c.MaxDeliveries = 5
	}
	if c.StorePatience == 0 {
		c.StorePatience = 2 * time.Minute
	}
	if c.CacheFor == 0 {
		c.CacheFor = 7 * 24 * time.Hour
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if strings.ContainsAny(c.Prefix, " \t\r\n.*>/\\") {
		errs = append(errs, fmt.Errorf("queue prefix %q: use letters, digits, '-' or '_'", c.Prefix))
	}
	if c.Lease < time.Second {
		errs = append(errs, fmt.Errorf("queue lease %s: at least 1s", c.Lease))
	}
	if c.Replicas < 1 || c.Replicas > 5 {
		errs = append(errs, fmt.Errorf("queue replicas %d: use 1, 3 or 5", c.Replicas))
	}
	if c.MaxBytes < 0 || c.MaxLiveBatches < 0 || c.MaxDeliveries < 0 || c.StorePatience < 0 || c.CacheFor < 0 {
		errs = append(errs, errors.New("queue limits cannot be negative"))
	}
	return errors.Join(errs...)
}

// names spells the streams, buckets and subjects of one prefix.
type names struct{ prefix, upper string }

func newNames(prefix string) names { return names{prefix, strings.ToUpper(prefix)} }

func (n names) stream(what string) string { return n.upper + "_" + what }
func (n names) subject(parts ...string) string {
	return n.prefix + "." + strings.Join(parts, ".")
}

// jobs is the filter for all jobs of a batch, job the subject of one; see
// trim.go.
func (n names) jobs(batch string) string      { return n.subject("jobs", batch, "*") }
func (n names) job(batch, part string) string { return n.subject("jobs", batch, part) }

// parseJob takes apart the subject of a job.
func (n names) parseJob(subject string) (batch, part string) {
	batch, part, _ = strings.Cut(strings.TrimPrefix(subject, n.subject("jobs", "")), ".")
	return batch, part
}

// keyOf takes the batch out of the subject under which its record is kept.
func (n names) keyOf(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }

func (n names) cursor(batch string) string { return n.subject("cursor", batch) }
func (n names) replayed(batch string, id jobs.ID) string {
	return n.subject("replayed", batch, string(id))
}
func (n names) outcome(batch string, id jobs.ID) string {
	return n.subject("outcomes", batch, string(id))
}
func (n names) dead(batch string, id jobs.ID) string { return n.subject("dead", batch, string(id)) }
func (n names) gone(batch string, id jobs.ID) string { return n.subject("gone", batch, string(id)) }
func (n names) handed(batch string, id jobs.ID) string {
	return n.subject("returns", batch, string(id))
}

// batchOf is the batch that a subject of one job names.
func (n names) batchOf(subject string) string {
	return strings.Split(strings.TrimPrefix(subject, n.prefix+"."), ".")[1]
}

// jobOf is the job that a subject of one job ends with.
func jobOf(subject string) jobs.ID { return jobs.ID(subject[strings.LastIndexByte(subject, '.')+1:]) }

func (n names) step(batch string, id jobs.ID) string {
	return n.subject("steps", batch, string(id))
}
func (n names) lapsed(batch string, id jobs.ID, entry string) string {
	return n.subject("lapsed", batch, string(id), entry)
}
func (n names) waste(batch string, id jobs.ID, entry string) string {
	return n.subject("waste", batch, string(id), entry)
}
