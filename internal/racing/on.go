//go:build race

package racing

// On is whether the race detector looks on.
const On = true
