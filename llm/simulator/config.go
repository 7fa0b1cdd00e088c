package simulator

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Config scripts a server. Its zero value answers everything properly and at
// once.
type Config struct {
	Seed uint64 // of all chance

	Latency         time.Duration // median time until an answer begins; default none
	Spread          float64       // how much that varies: sigma of a log-normal, 0.5 is lifelike; default 0
	TokensPerSecond float64       // how fast answers are written; default at once

	Key     string // the API key that is required; default none
	Context int    // most tokens of input and output together; default no limit

	Limits map[string]Limit // by model; "*" is for each model not named

	Odds    Odds     // what goes wrong by chance
	Outages []Outage // what goes wrong by schedule

	// Reply, if set, answers what no fault and no marker decides: nil leaves it
	// to the simulator. It is called from many goroutines.
	Reply func(Asked) *Reply

	Cached    float64 // share of the input that is reported as cached; default 0
	Reasoning int     // tokens of reasoning in each answer, which count as output; default 0

	Keep int // calls the ledger remembers, older ones only count in Stats; default 100,000
}

// Limit is a model's quota. 0 is no limit.
type Limit struct {
	RequestsPerMinute int
	TokensPerMinute   int           // input and output
	Burst             time.Duration // how much of it may be used at once; default a minute's
	Counts            float64       // tokens that are counted for each that is reported, as some providers do; default 1
	Silent            bool          // nothing is said but Retry-After: neither in headers nor in the message
}

// Fault is a way to fail: one of the constants or an HTTP status from 400 to
// 599.
type Fault string

// What can go wrong besides a status.
const (
	Hang     Fault = "hang"     // never answers, but charges
	Drop     Fault = "drop"     // breaks the connection before answering, but charges
	Cut      Fault = "cut"      // breaks it in the middle of the answer
	Truncate Fault = "truncate" // a whole response with half the JSON
	Garbage  Fault = "garbage"  // a whole response that is not JSON at all
	Refuse   Fault = "refuse"   // will not answer this content, but charges
	Length   Fault = "length"   // stops at the token limit after a few words
	NoUsage  Fault = "no-usage" // answers, but does not say what it used
	CallTool Fault = "tool"     // wants the first tool called, if there are any and none has been
	Loop     Fault = "loop"     // wants the first tool called, always with the same arguments

	Fenced   Fault = "fenced"   // what was asked for, in a code fence between two sentences
	Prose    Fault = "prose"    // words where JSON was asked for
	Invalid  Fault = "invalid"  // JSON that does not match the schema: a property of another type, the others missing
	Broken   Fault = "broken"   // JSON without its end, though nothing cut it short
	Misquote Fault = "misquote" // a quotation that the document does not contain
)

// inWords reports whether the fault is in what the answer says.
func (f Fault) inWords() bool {
	switch f {
	case Fenced, Prose, Invalid, Broken, Misquote:
		return true
	}
	return false
}

// status is the HTTP status the fault stands for, 0 if it is not one.
func (f Fault) status() int {
	n, err := strconv.Atoi(string(f))
	if err != nil || n < 400 || n > 599 {
		return 0
	}
	return n
}

func (f Fault) validate() error {
	switch f {
	case Hang, Drop, Cut, Truncate, Garbage, Refuse, Length, NoUsage, CallTool, Loop:
		return nil
	}
	if f.status() != 0 || f.inWords() {
		return nil
	}
	return fmt.Errorf("fault %q: use a status from 400 to 599, or hang, drop, cut, truncate, garbage, refuse, length, no-usage, "+
		"tool, loop, fenced, prose, invalid, broken or misquote", string(f))
}

// Odds is how likely each fault is, from 0 to 1; in all at most 1.
type Odds map[Fault]float64

func (o Odds) validate() error {
	var errs []error
	sum := 0.0
	for f, p := range o {
		errs = append(errs, f.validate())
		if p < 0 || p > 1 || math.IsNaN(p) {
			errs = append(errs, fmt.Errorf("the odds of %q are %v, not between 0 and 1", string(f), p))
		}
		sum += p
	}
	if sum > 1.000001 {
		errs = append(errs, fmt.Errorf("the odds of all faults add up to %v, more than 1", sum))
	}
	return errors.Join(errs...)
}

// Outage makes every call to a model fail for a while.
type Outage struct {
	Model string        // "" is every model
	From  time.Duration // since the server was made or, for SetFaults, since then
	For   time.Duration // 0 is for ever
	Fault Fault         // default 503
}

func (c *Config) validate() error {
	errs := []error{c.Odds.validate()}
	for i := range c.Outages {
		errs = append(errs, c.Outages[i].validate())
	}
	if c.Latency < 0 || c.Spread < 0 || c.TokensPerSecond < 0 || c.Context < 0 || c.Keep < 0 || c.Reasoning < 0 {
		errs = append(errs, errors.New("latency, spread, speed, context, reasoning and keep cannot be negative"))
	}
	if !(c.Cached >= 0 && c.Cached <= 1) {
		errs = append(errs, fmt.Errorf("the share of cached input is %v, not between 0 and 1", c.Cached))
	}
	return errors.Join(append(errs, validateLimits(c.Limits))...)
}

func validateLimits(limits map[string]Limit) error {
	var errs []error
	for model, l := range limits {
		if l.RequestsPerMinute < 0 || l.TokensPerMinute < 0 || l.Burst < 0 || l.Counts < 0 {
			errs = append(errs, fmt.Errorf("the limit of %q cannot be negative", model))
		}
	}
	return errors.Join(errs...)
}

func (o *Outage) validate() error {
	if o.Fault == "" {
		o.Fault = "503"
	}
	if o.From < 0 || o.For < 0 {
		return errors.New("an outage's times cannot be negative")
	}
	return o.Fault.validate()
}
