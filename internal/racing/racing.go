// Package racing tells tests whether the race detector looks on. It is slow, and
// what happens at one moment happens in an order that it shuffles on purpose.
package racing

import "testing"

// Spare skips the test if the race detector looks on: why says where it sees the
// same ways in less time.
func Spare(t testing.TB, why string) {
	t.Helper()
	if On {
		t.Skip("spared under the race detector: " + why)
	}
}
