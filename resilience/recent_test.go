package resilience

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheSameIsNewsOnceInAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var recent Recent
		for range 3 {
			if !recent.News("Redis is away") || !recent.News("NATS is away") {
				t.Error("it was not said for an hour, and is no news")
			}
			if time.Sleep(time.Hour - time.Second); recent.News("Redis is away") {
				t.Error("it is news again before an hour is over")
			}
			time.Sleep(time.Second)
		}
		for i := range 5000 {
			recent.News(fmt.Sprint(i))
		}
		if n := len(recent.said); n > 512 {
			t.Errorf("%d texts are remembered", n)
		}
	})
}
