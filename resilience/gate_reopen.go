package resilience

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/lua"
)

// rebuildLease is how long the lock on rebuilding outlives its holder.
const rebuildLease = 30 * time.Second

var errShut = errors.New("the gate is shut")

// send submits an Enter, unless it would only be told that the sums are lost.
func (g *Gate) send(e *entry) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return fmt.Errorf("entering the gate: %w: this worker is stopping", errShut)
	case g.reopening:
		g.shut = append(g.shut, e)
	default:
		g.committer.submit(e)
	}
	return nil
}

// park sets an operation aside until the sums are there again.
func (g *Gate) park(e *entry) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = append(g.shut, e)
	if !g.reopening {
		g.reopening = true
		g.tasks.Go(g.reopen)
	}
}

// reopen has the sums rebuilt and lets those go on who wait for it. Who has
// waited too long is told so.
func (g *Gate) reopen() {
	done := make(chan error, 1)
	g.tasks.Go(func() { done <- g.rebuild(g.life) })
	for {
		late := time.NewTimer(g.config.Reopening)
		select {
		case err := <-done:
			late.Stop()
			g.release(err, false)
			return
		case <-late.C:
			g.release(errors.New("the sums were lost and are still being rebuilt"), true)
		}
	}
}

// release sends what waited for the sums on its way, or fails it with err.
func (g *Gate) release(err error, reopening bool) {
	g.mu.Lock()
	entries := g.shut
	g.shut, g.reopening = nil, reopening
	g.mu.Unlock()
	if err == nil {
		g.committer.submit(entries...)
		g.watch()
		return
	}
	g.config.OnError(fmt.Errorf("%w: %w", errShut, err))
	for _, e := range entries {
		e.answer(lua.Reply{}, fmt.Errorf("%w: %w", errShut, err))
	}
}

// rebuild returns when the sums are there: rebuilt by this replica, if it gets
// the lock, or by another.
func (g *Gate) rebuild(ctx context.Context) error {
	lock, token := g.config.Keys.Key("rebuild"), rand.Text()
	for {
		mine, err := g.config.Redis.SetNX(ctx, lock, token, rebuildLease).Result()
		if err != nil {
			return fmt.Errorf("locking the rebuilding of the sums: %w", err)
		}
		if mine {
			break
		}
		if open, err := g.open(ctx); open || err != nil {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	defer g.unlock(lock, token)
	if open, err := g.open(ctx); open || err != nil {
		return err // by whoever had the lock before
	}
	return g.rebuildLocked(ctx, lock, token)
}

func (g *Gate) open(ctx context.Context) (bool, error) {
	epoch, err := g.script.Epoch(ctx, g.config.Redis)
	if err != nil {
		return false, fmt.Errorf("asking whether the sums are there: %w", err)
	}
	return epoch != "", nil
}

func (g *Gate) rebuildLocked(ctx context.Context, lock, token string) error {
	if g.config.Rebuild == nil {
		epoch, err := g.script.NewEpoch(ctx, g.config.Redis)
		if err != nil {
			return err
		}
		return g.script.Open(ctx, g.config.Redis, epoch, nil)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		g.renew(ctx, cancel, lock, token)
	}()
	err := g.config.Rebuild(ctx)
	cancel(nil)
	<-renewed
	if err != nil {
		return fmt.Errorf("rebuilding the sums: %w", err)
	}
	if open, err := g.open(context.WithoutCancel(ctx)); err != nil || !open {
		return errors.Join(errors.New("rebuilding the sums: the gate was not opened at the end"), err)
	}
	return nil
}

// extend and release touch the lock only while it is still ours.
var (
	extendLock = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`)
	releaseLock = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`)
)

// renew keeps the lock until ctx ends, and ends ctx if it is lost.
func (g *Gate) renew(ctx context.Context, cancel context.CancelCauseFunc, lock, token string) {
	tick := time.NewTicker(rebuildLease / 3)
	defer tick.Stop()
	held := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asked := time.Now()
		ours, err := extendLock.Run(ctx, g.config.Redis, []string{lock}, token, rebuildLease.Milliseconds()).Int()
		switch {
		case err == nil && ours == 1:
			held = asked
		case err == nil || time.Since(held) > rebuildLease*2/3:
			cancel(errors.New("the lock on rebuilding the sums was lost"))
			return
		}
	}
}

func (g *Gate) unlock(lock, token string) {
	ctx, cancel := context.WithTimeout(context.Background(), g.config.Timeout)
	defer cancel()
	_ = releaseLock.Run(ctx, g.config.Redis, []string{lock}, token).Err() // it expires by itself
}
