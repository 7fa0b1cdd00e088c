package budget

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/jobs"
)

// Alert says that a share of a limit was spent.
type Alert struct {
	Account string    `json:"account"`
	Title   string    `json:"title"`
	Share   float64   `json:"share"` // that was crossed
	Limit   jobs.USD  `json:"limit"`
	Spent   jobs.USD  `json:"spent"` // right after it was crossed
	At      time.Time `json:"at"`
}

func (a Alert) String() string {
	return fmt.Sprintf("%v of the budget of %v of %s is spent: %v %% or more", a.Spent, a.Limit, a.Title, math.Round(a.Share*1e4)/100)
}

// handling is how long a replica has to handle an alert before another one
// gets it.
const handling = time.Minute

// due hands out an alert for a while.
//
//	KEYS[1]  the alerts, a zset of alert -> when to hand it out next
//	ARGV[1]  for how long, in microseconds
//
// It returns the alert, or nil if none is due.
var due = redis.NewScript(`
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local list = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now), 'LIMIT', 0, 1)
if list[1] then redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[1]), list[1]) end
return list[1]`)

// Alerts hands the alerts raised since the last time, by whichever replica, to
// handle. Each is raised once per account and turn of its window, and handled
// by one replica at a time; if that one fails or dies, by another a minute
// after it began.
func (l *Ledger) Alerts(ctx context.Context, rdb redis.Cmdable, handle func(Alert) error) error {
	for {
		text, err := due.Run(ctx, rdb, []string{l.alerts}, handling.Microseconds()).Text()
		if errors.Is(err, redis.Nil) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("asking for budget alerts: %w", err)
		}
		a, err := parseAlert(text)
		if err != nil {
			return err
		}
		if err := handle(a); err != nil {
			return fmt.Errorf("handling the alert that %s: %w", a, err)
		}
		if err := rdb.ZRem(ctx, l.alerts, text).Err(); err != nil {
			return fmt.Errorf("removing a budget alert: %w", err)
		}
	}
}

// parseAlert reads what ledger.lua wrote: key, name, title, share, limit,
// spent and time.
func parseAlert(text string) (Alert, error) {
	f := strings.Split(text, separator)
	if len(f) != 7 {
		return Alert{}, fmt.Errorf("reading the budget alert %q: it has %d fields, not 7", text, len(f))
	}
	var n [4]int64
	for i, v := range f[3:] {
		var err error
		if n[i], err = strconv.ParseInt(v, 10, 64); err != nil {
			return Alert{}, fmt.Errorf("reading the budget alert %q: %w", text, err)
		}
	}
	return Alert{
		Account: f[1], Title: f[2], Share: float64(n[0]) / 1e6,
		Limit: jobs.USD(n[1]), Spent: jobs.USD(n[2]), At: time.UnixMicro(n[3]),
	}, nil
}
