package answers

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/env"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"

	"github.com/drover-batch/drover/jobs"
)

// Bounds of an expression: of its text, and of what one evaluation may cost,
// in CEL's units, of which a comparison takes one and a character a tenth.
const (
	mostExpression = 4096
	mostCost       = 500_000
)

// expectation is an expression that has to hold: of CEL, the Common Expression
// Language, over
//
//	answer    the answer: its JSON, or its text if it is none
//	document  the document's text
//	fields    the fields of its row or line, by name, as texts
//
// Numbers of an answer are floating-point: compare them with any number, and
// calculate with 1.0 rather than 1. Beside CEL's own functions there is
// sum(list).
type expectation struct {
	text    string
	members []string // of the answer that it reads by name
	program cel.Program
}

func newExpectation(text string) (*expectation, error) {
	language, err := cel.NewCustomEnv(
		cel.StdLib(cel.StdLibSubset(&env.LibrarySubset{ExcludeFunctions: []*env.Function{env.NewFunction(overloads.Matches)}})),
		cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(mostExpression),
		cel.Variable("answer", cel.DynType),
		cel.Variable("document", cel.StringType),
		cel.Variable("fields", cel.MapType(cel.StringType, cel.StringType)),
		cel.Function("sum", cel.Overload("sum_list", []*cel.Type{cel.ListType(cel.DynType)}, cel.DoubleType, cel.UnaryBinding(sum))),
		cel.Function(overloads.Matches, cel.SingletonBinaryBinding(matches),
			cel.Overload(overloads.Matches, []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType),
			cel.MemberOverload(overloads.MatchesString, []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType)),
	)
	if err != nil {
		return nil, err
	}
	tree, issues := language.Compile(text)
	if issues.Err() != nil {
		return nil, complaint(issues)
	}
	if t := tree.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("it gives a %s: write what has to be true, such as answer.total > 0", t)
	}
	program, err := language.Program(tree, cel.CostLimit(mostCost), cel.CostTrackerOptions(
		interpreter.OverloadCostTracker("sum_list", sumCost),
		interpreter.OverloadCostTracker(overloads.Matches, matchesCost), interpreter.OverloadCostTracker(overloads.MatchesString, matchesCost),
		interpreter.OverloadCostTracker(overloads.Equals, equalsCost), interpreter.OverloadCostTracker(overloads.NotEquals, equalsCost),
		interpreter.OverloadCostTracker(overloads.InList, inCost),
	))
	if err != nil {
		return nil, err
	}
	return &expectation{text, membersOf(tree.NativeRep().Expr()), program}, nil
}

// membersOf are the names of the answer's members that an expression reads, but
// for those that it only asks for with has(…).
func membersOf(expr ast.Expr) (names []string) {
	ast.PreOrderVisit(expr, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.SelectKind && !e.AsSelect().IsTestOnly() && inAnswer(e.AsSelect().Operand()) {
			names = append(names, e.AsSelect().FieldName())
		}
	}))
	return names
}

// inAnswer reports whether an expression is the answer or leads to a place in it.
func inAnswer(e ast.Expr) bool {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent() == "answer"
	case ast.SelectKind:
		return inAnswer(e.AsSelect().Operand())
	case ast.CallKind:
		return e.AsCall().FunctionName() == operators.Index && inAnswer(e.AsCall().Args()[0])
	}
	return false
}

// complaint is what is wrong with an expression, in one line.
func complaint(issues *cel.Issues) error {
	var all []string
	for _, e := range issues.Errors() {
		what := strings.TrimPrefix(e.Message, "Syntax error: ")
		if name, ok := strings.CutPrefix(what, "undeclared reference to '"); ok {
			name, _, _ = strings.Cut(name, "'")
			what = fmt.Sprintf("there is no %s; there are answer, document, fields and CEL's own functions", name)
		}
		all = append(all, fmt.Sprintf("line %d, column %d: %s", e.Location.Line(), e.Location.Column()+1, what))
	}
	return errors.New(strings.Join(all, "; "))
}

// check evaluates the expression, and tells if it is anything but true.
func (x *expectation) check(answer any, d *jobs.Document) *jobs.Flaw {
	fields := d.Fields
	if fields == nil {
		fields = map[string]string{}
	}
	got, _, err := x.program.Eval(map[string]any{"answer": answer, "document": d.Text(), "fields": fields})
	switch {
	case err != nil:
		return &jobs.Flaw{Check: jobs.CheckExpect, Message: fmt.Sprintf("it has to be true that %s, which cannot be told: %v", x.text, err)}
	case got != types.True:
		return &jobs.Flaw{Check: jobs.CheckExpect, Message: "it has to be true that " + x.text}
	}
	return nil
}

// sum adds up the numbers of a list.
func sum(list ref.Val) ref.Val {
	l, ok := list.(traits.Lister)
	if !ok {
		return types.MaybeNoSuchOverloadErr(list)
	}
	total := 0.0
	for it := l.Iterator(); it.HasNext() == types.True; {
		n := it.Next().ConvertToType(types.DoubleType)
		d, ok := n.(types.Double)
		if !ok {
			return types.NewErr("sum of something other than numbers")
		}
		total += float64(d)
	}
	return types.Double(total)
}

func sumCost(args []ref.Val, _ ref.Val) *uint64 {
	cost := uint64(1)
	if l, ok := args[0].(traits.Sizer); ok {
		if n, ok := l.Size().(types.Int); ok {
			cost += uint64(n)
		}
	}
	return &cost
}

// doubles is a decoded value with its numbers as CEL calculates with them.
func doubles(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, _ := v.Float64() // out of range: infinite
		return f
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = doubles(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, inner := range v {
			out[name] = doubles(inner)
		}
		return out
	}
	return v
}
