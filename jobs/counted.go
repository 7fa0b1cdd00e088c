package jobs

import "fmt"

// Counted says how many of a thing there are: 1 call, 2 calls.
func Counted[N int | int64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
