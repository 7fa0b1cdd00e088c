package lua

import (
	"strconv"
	"time"
)

// remembered is how long a call in flight can lapse as it should, counted from
// when it entered: the worker of one may be frozen for a while.
const remembered = 24 * time.Hour

// encoder lays operations out as KEYS and ARGV, see driver.lua. What is common
// to several of them is passed once.
type encoder struct {
	keys  []string
	index map[string]int // of keys

	forms    map[*Form]*passed
	formArgs []any

	shapes    map[shape]int
	shapeArgs []any
	nShapes   int

	enters, others []any // calls
	warm           []*passed
	ops            []any
}

// passed is a form that is passed on.
type passed struct {
	number int
	looks  []any // what its module's warm is given
}

// shape is what operations have in common.
type shape struct {
	kind  Kind
	lease time.Duration
	forms [4]*Form // of its steps; those with more are not told to be alike
}

func (s *Script) encode(ops []Op) ([]string, []any) {
	e := &encoder{
		index: make(map[string]int, 24), forms: make(map[*Form]*passed, 8), shapes: make(map[shape]int, 8),
		enters: make([]any, 0, len(ops)), others: make([]any, 0, len(ops)), ops: make([]any, 0, 6*len(ops)),
	}
	for _, k := range s.common {
		e.key(k)
	}
	for i := range ops {
		e.op(s, &ops[i])
	}
	return e.keys, e.argv(len(ops))
}

func (e *encoder) argv(n int) []any {
	looks := 0
	for _, p := range e.warm {
		looks += 2 + len(p.looks)
	}
	args := make([]any, 0, 8+len(e.formArgs)+len(e.shapeArgs)+len(e.enters)+len(e.others)+looks+len(e.ops))
	args = append(append(args, int(remembered/time.Second), len(e.forms)), e.formArgs...)
	args = append(append(args, e.nShapes), e.shapeArgs...)
	args = append(append(args, len(e.enters), len(e.others)), e.enters...)
	args = append(append(args, e.others...), len(e.warm))
	for _, p := range e.warm {
		args = append(append(args, p.number, len(p.looks)), p.looks...)
	}
	return append(append(args, n), e.ops...)
}

func (e *encoder) key(k string) int {
	i, ok := e.index[k]
	if !ok {
		e.keys = append(e.keys, k)
		i = len(e.keys)
		e.index[k] = i
	}
	return i
}

func (e *encoder) op(s *Script, op *Op) {
	e.ops = append(e.ops, e.shape(s, op))
	switch op.Kind {
	case Beat:
		e.ops = append(e.ops, len(op.Calls))
		for _, c := range op.Calls {
			e.ops = append(e.ops, c)
		}
		return
	case Enter, Restore:
		e.enters = append(e.enters, op.Call)
	default:
		e.others = append(e.others, op.Call)
	}
	for _, st := range op.Steps {
		for _, v := range st.values {
			e.ops = append(e.ops, v)
		}
		if st.form.Warm {
			e.look(e.forms[st.form], st.values[len(st.values)-1])
		}
	}
}

func (e *encoder) look(p *passed, value string) {
	if len(p.looks) == 0 {
		e.warm = append(e.warm, p)
	}
	p.looks = append(p.looks, value)
}

// shape returns the number of the operation's shape.
func (e *encoder) shape(s *Script, op *Op) int {
	like := shape{kind: op.Kind, lease: op.Lease}
	alike := len(op.Steps) <= len(like.forms)
	if alike {
		for i, st := range op.Steps {
			like.forms[i] = st.form
		}
		if n, ok := e.shapes[like]; ok {
			return n
		}
	}
	e.shapeArgs = append(e.shapeArgs, string(op.Kind), op.Lease.Microseconds(), len(op.Steps))
	for _, st := range op.Steps {
		e.shapeArgs = append(e.shapeArgs, e.form(s, st.form))
	}
	e.nShapes++
	if alike {
		e.shapes[like] = e.nShapes
	}
	return e.nShapes
}

// form returns the number of a form.
func (e *encoder) form(s *Script, f *Form) int {
	if p, ok := e.forms[f]; ok {
		return p.number
	}
	p := &passed{number: len(e.forms) + 1}
	e.forms[f] = p
	e.formArgs = append(e.formArgs, f.Module, len(f.Keys))
	for _, k := range f.Keys {
		e.formArgs = append(e.formArgs, e.key(k))
	}
	e.formArgs = append(e.formArgs, len(f.Args))
	for _, a := range f.Args {
		e.formArgs = append(e.formArgs, a)
	}
	e.formArgs = append(e.formArgs, len(f.Vary))
	for _, v := range f.Vary {
		e.formArgs = append(e.formArgs, v+1)
	}
	id, text := f.record()
	e.formArgs = append(e.formArgs, id, e.key(s.keys.Key("form", id)), text)
	return p.number
}

// record returns the form as driver.lua finds it when a call lapses, and the
// name it goes by.
func (f *Form) record() (id, text string) {
	f.once.Do(func() {
		f.text = f.Module + unit + strconv.Itoa(len(f.Keys))
		for _, k := range f.Keys {
			f.text += unit + k
		}
		f.text += unit + strconv.Itoa(len(f.Args))
		for _, a := range f.Args {
			f.text += unit + a
		}
		for _, v := range f.Vary {
			f.text += unit + strconv.Itoa(v+1)
		}
		f.id = digest(f.text)
	})
	return f.id, f.text
}
