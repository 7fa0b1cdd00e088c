package main

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestLongCommandsSayHowFarTheyHaveCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told, got []int
		twelve := func(yield func(int, error) bool) {
			for i := range 12 {
				if !yield(i, nil) {
					return
				}
			}
		}
		for v := range soFar(twelve, func(done int) { told = append(told, done) }) {
			got = append(got, v)
			time.Sleep(time.Second) // of work
		}
		if !slices.Equal(told, []int{5, 10}) || len(got) != 12 {
			t.Errorf("of %v it told %v", got, told)
		}
	})
}
