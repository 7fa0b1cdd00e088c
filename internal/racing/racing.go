// Package racing tells tests whether the race detector looks on. It is slow, and
// what happens at one moment happens in an order that it shuffles on purpose.
package racing
