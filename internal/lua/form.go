package lua

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"
)

// Form is what the steps of many calls have in common. A group passes it once,
// however many of its operations use it, so it is made once and kept. It must
// not be changed after its first Step.
type Form struct {
	Module string
	Keys   []string // made with Keyspace.Key
	Args   []string

	// Vary are the places in Args, counted from 0, that come with each Step.
	Vary []int

	// Warm hands the last of those to the module's warm function, of all steps
	// of a group at once and before any of them is carried out.
	Warm bool

	once     sync.Once
	id, text string // see record
}

// Step is one guard's part in an operation. The zero Step is no part.
type Step struct {
	form   *Form
	values []string
}

// None reports whether the guard has no part in the operation.
func (s Step) None() bool { return s.form == nil }

// Step makes a step with the arguments that vary.
func (f *Form) Step(values ...string) Step { return Step{f, values} }

// Once makes a step that is like no other.
func Once(module string, keys []string, args ...string) Step {
	return (&Form{Module: module, Keys: keys, Args: args}).Step()
}

// unit stands between the parts of a record; see driver.lua.
const unit = "\x1f"

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}
