package redistest_test

import (
	"os"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

func TestEachServerIsEmptyAndTakesScripts(t *testing.T) {
	t.Parallel()
	for range 2 {
		redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
			const script = "return redis.call('INCR', KEYS[1])"
			if n, err := rdb.Eval(t.Context(), script, []string{"{x}:n"}).Int(); err != nil || n != 1 {
				t.Errorf("got %d, %v", n, err)
			}
		})
	}
}
