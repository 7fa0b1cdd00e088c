//go:build race

package wire

// usual is how many schedules run unless -seeds says otherwise.
const usual = 12

// racing is whether the race detector is on: it is slow, and what happens at
// one moment happens in an order that it shuffles on purpose.
const racing = true
