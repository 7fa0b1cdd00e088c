package budget

import (
	"sync"
	"time"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
)

// forms keeps what the steps of calls have in common: all but the amount and
// the job is the same for most calls of a batch to a model.
type forms struct {
	mu   sync.Mutex
	kept map[likeness]*keptForm
}

// likeness is what makes the steps of two calls alike, but for the turns of the
// windows that they fall into.
type likeness struct {
	batch, tenant, model  string
	limit                 jobs.USD
	alerts, cheaper, mode string
}

type keptForm struct {
	*lua.Form
	turns []*span
}

// mostForms bounds how many are kept; one too many is made again.
const mostForms = 4096

func (l *Ledger) form(e *entry) *lua.Form {
	like := likeness{e.batch, e.tenant, e.model, e.limit, e.alerts, e.cheaper, e.mode}
	l.forms.mu.Lock()
	defer l.forms.mu.Unlock()
	if f := l.forms.kept[like]; f != nil && f.holds(e.at) {
		return f.Form
	}
	if l.forms.kept == nil || len(l.forms.kept) >= mostForms {
		l.forms.kept = make(map[likeness]*keptForm)
	}
	f := l.newForm(e)
	l.forms.kept[like] = f
	return f.Form
}

func (l *Ledger) newForm(e *entry) *keptForm {
	f := &keptForm{Form: &lua.Form{
		Module: module, Keys: []string{l.root},
		Args: []string{"", "", e.model, e.batch, e.mode}, Vary: []int{0, 1}, Warm: true, // amount and job
	}}
	for _, a := range l.accountsOf(*e) {
		f.Keys, f.Args = append(f.Keys, a.key), append(f.Args, a.terms())
		if a.turn != nil {
			f.turns = append(f.turns, a.turn)
		}
	}
	return f
}

// holds reports whether the time is in the turns that the form was made for.
func (f *keptForm) holds(t time.Time) bool {
	for _, s := range f.turns {
		if !s.holds(t) {
			return false
		}
	}
	return true
}
