package main

import (
	"iter"
	"time"
)

// sayEvery is how often a command without a display says how far it has come.
const sayEvery = 5 * time.Second

// soFar passes a sequence on and tells now and then how many are done.
func soFar[T any](all iter.Seq2[T, error], tell func(done int)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		done, told := 0, time.Now()
		for v, err := range all {
			if time.Since(told) >= sayEvery {
				told = time.Now()
				tell(done)
			}
			if !yield(v, err) {
				return
			}
			done++
		}
	}
}
