package main

import (
	"iter"
	"time"
)

// sayEvery is how often a command without a display says how far it has come.
const sayEvery = 5 * time.Second

// soFar passes a sequence on and tells now and then how many are done.
func soFar[T, E any](all iter.Seq2[T, E], tell func(done int)) iter.Seq2[T, E] {
	return func(yield func(T, E) bool) {
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

// meanwhile does something and tells now and then how far that has come.
func meanwhile(do func() error, tell func()) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	ticker := time.NewTicker(sayEvery)
	defer ticker.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-ticker.C:
			tell()
		}
	}
}
