package lua_test

import (
	"crypto/rand"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/internal/redistest"
)

// shut reports whether nobody may enter.
func (b *bench) shut(t *testing.T) bool {
	t.Helper()
	epoch, err := b.Epoch(t.Context(), b.rdb)
	if err != nil {
		t.Fatal(err)
	}
	shut := b.run(t, enter(rand.Text(), "9"))[0].NoEpoch
	if shut != (epoch == "") {
		t.Errorf("shut: %v, but the epoch is %q", shut, epoch)
	}
	return shut
}

func TestRestartedServerIsNotTrusted(t *testing.T) {
	t.Parallel()
	s := redistest.Run(t)
	b := &bench{Script: lua.Compose(ks, seats, table), rdb: redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1})}
	t.Cleanup(func() { _ = b.rdb.Close() })
	if !b.shut(t) {
		t.Fatal("there are sums before anybody wrote them")
	}
	before, err := b.NewEpoch(t.Context(), b.rdb)
	if err != nil {
		t.Fatal(err)
	}
	b.open(t)
	if b.shut(t) {
		t.Error("the sums of the same server are not trusted")
	}
	s.Restart(t)
	_ = b.rdb.Ping(t.Context()) // finds its connection broken
	if !b.shut(t) {
		t.Error("the sums are trusted after a restart")
	}
	if err := b.Open(t.Context(), b.rdb, before, nil); err != nil || !b.shut(t) {
		t.Errorf("the sums of a rebuilding that a restart interrupted are trusted; %v", err)
	}
	b.open(t)
	if b.shut(t) {
		t.Error("the rebuilt sums are not trusted")
	}
}

func TestServerThatDoesNotTellItsHistoryIsTrusted(t *testing.T) {
	t.Parallel()
	addr, _ := startMini(t)
	b := &bench{Script: lua.Compose(ks, seats, table), rdb: redis.NewClient(&redis.Options{Addr: addr})}
	t.Cleanup(func() { _ = b.rdb.Close() })
	b.open(t)
	if b.shut(t) {
		t.Error("the embedded server's sums are not trusted")
	}
}
