package process

import (
	"fmt"
	"maps"
	"slices"
)

// Sum adds up counts.
func Sum(of map[string]int) (n int) {
	for _, v := range of {
		n += v
	}
	return n
}

// Counts tells them one by one, by name.
func Counts(of map[string]int) (list []string) {
	for _, k := range slices.Sorted(maps.Keys(of)) {
		list = append(list, fmt.Sprintf("%d %s", of[k], k))
	}
	return list
}
