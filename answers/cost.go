package answers

import (
	"regexp"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// matches is CEL's own, but that it is refused what costs too much before it is
// done: neither a search nor the making of an expression can be stopped.
func matches(text, expression ref.Val) ref.Val {
	t, ok := text.(types.String)
	e, isString := expression.(types.String)
	if !ok || !isString {
		return types.MaybeNoSuchOverloadErr(text)
	}
	if *matchesCost([]ref.Val{text, expression}, nil) > mostCost {
		return types.NewErr("the expression is too large for a text of %d bytes", len(t))
	}
	re, err := regexp.Compile(string(e))
	if err != nil {
		return types.NewErr("%v", err)
	}
	return types.Bool(re.MatchString(string(t)))
}

// matchesCost is what it takes to make an expression and look for it: at worst
// each of its instructions is tried at each character.
func matchesCost(args []ref.Val, _ ref.Val) *uint64 {
	t, _ := args[0].(types.String)
	e, _ := args[1].(types.String)
	cost := 1 + uint64(len(e)) + uint64(sizeOf(string(e)))*(4+uint64(len(t))/64)
	return &cost
}

// equalsCost is what it takes to compare two values with all that is in them;
// CEL's own looks at how many elements they have.
func equalsCost(args []ref.Val, _ ref.Val) *uint64 {
	cost := compared(args[0], args[1])
	return &cost
}

// inCost is what it takes to compare a value with all elements of a list.
func inCost(args []ref.Val, _ ref.Val) *uint64 {
	cost := uint64(1)
	if all, ok := args[1].(traits.Iterable); ok {
		for it := all.Iterator(); it.HasNext() == types.True; {
			cost += compared(args[0], it.Next())
		}
	}
	return &cost
}

func compared(a, b ref.Val) uint64 {
	cost := uint64(1)
	switch a := a.(type) {
	case types.String:
		if b, ok := b.(types.String); ok {
			cost += uint64(min(len(a), len(b))) / 10
		}
	case traits.Lister:
		if b, ok := b.(traits.Lister); ok && a.Size() == b.Size() {
			for x, y := a.Iterator(), b.Iterator(); x.HasNext() == types.True; {
				cost += compared(x.Next(), y.Next())
			}
		}
	case traits.Mapper:
		if b, ok := b.(traits.Mapper); ok && a.Size() == b.Size() {
			for names := a.Iterator(); names.HasNext() == types.True; {
				name := names.Next()
				if other, ok := b.Find(name); ok {
					cost += compared(a.Get(name), other)
				}
			}
		}
	}
	return cost
}
