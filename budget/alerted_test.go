package budget

import (
	"fmt"
	"runtime"
	"testing"
)

// What an account had told at 90 % was kept under the number 900,000, for which
// the embedded Lua made room for as many: each call after the alert took 170 MB
// and a fifth of a second. Not parallel, since others' garbage would count.
func TestEachCallAfterAnAlertTookMegabytes(t *testing.T) {
	s := onMini(t, Config{Budgets: []Budget{{Tenant: "acme", Limit: 1000, AlertAt: []float64{0.5, 0.9}}}})
	s.spend(t, call("first", "b", small, 950))
	const calls = 10
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range calls {
		s.spend(t, call(fmt.Sprint("later ", i), "b", small, 1))
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / calls; n > 1<<20 {
		t.Errorf("%d KiB a call", n>>10)
	}
}
