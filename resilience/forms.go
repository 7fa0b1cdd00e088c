package resilience

import (
	"sync"

	"github.com/drover-batch/drover/internal/lua"
)

// mostForms bounds how many forms a guard keeps; one too many is made again.
const mostForms = 1024

// forms keeps the forms of a guard's steps, by what they have in common.
type forms[K comparable] struct {
	mu   sync.Mutex
	kept map[K]*lua.Form
}

func (f *forms[K]) of(k K, form func() *lua.Form) *lua.Form {
	f.mu.Lock()
	defer f.mu.Unlock()
	if kept := f.kept[k]; kept != nil {
		return kept
	}
	if f.kept == nil || len(f.kept) >= mostForms {
		f.kept = make(map[K]*lua.Form)
	}
	f.kept[k] = form()
	return f.kept[k]
}
