package documents

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/drover-batch/drover/jobs"
)

// part is one parsed template of a prompt.
type part struct {
	what     string // prompt, system prompt
	source   string
	template *template.Template
	uses     []use           // the first of each name
	used     map[string]bool // names
	optional map[string]bool // fields that an if asks for

	// pieces are texts and names in turn, for a template that has nothing else:
	// most have not, and are put together without the template. Nil otherwise.
	pieces []string
}

// use is a name the template mentions, and where.
type use struct {
	name string
	node parse.Node
}

// allowed are the functions of a template.
var allowed = []string{"field", "not", "and", "or", "eq", "ne"}

var syntaxError = regexp.MustCompile(`^template: part:(\d+):(?:\d+:)? *(.*)$`)

func parsePart(what, source string) (*part, error) {
	t, err := template.New("part").Option("missingkey=zero").
		Funcs(template.FuncMap{"field": fmt.Sprint}).Parse(source) // field is replaced in command
	if err != nil {
		if m := syntaxError.FindStringSubmatch(err.Error()); m != nil {
			return nil, fmt.Errorf("%s, line %s: %s", what, m[1], m[2])
		}
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	p := &part{what: what, source: source, template: t, used: map[string]bool{}, optional: map[string]bool{}}
	for _, other := range t.Templates() {
		if other.Name() != t.Name() {
			return nil, fmt.Errorf("%s: {{define}} and {{block}} are not supported", what)
		}
	}
	if t.Tree == nil {
		return p, nil // empty
	}
	if err := p.list(t.Root); err != nil {
		return nil, err
	}
	p.pieces = plain(t.Root)
	return p, nil
}

// plain takes a template apart that is texts and names alone.
func plain(l *parse.ListNode) []string {
	pieces := []string{""} // a text first, and last
	for _, n := range l.Nodes {
		switch n := n.(type) {
		case *parse.CommentNode:
		case *parse.TextNode:
			pieces[len(pieces)-1] += string(n.Text)
		case *parse.ActionNode:
			args := n.Pipe.Cmds[0].Args
			field, ok := args[0].(*parse.FieldNode)
			if !ok || len(args) > 1 {
				return nil
			}
			pieces = append(pieces, field.Ident[0], "")
		default:
			return nil
		}
	}
	return pieces
}

// at says where a node is.
func (p *part) at(n parse.Node) string {
	before := p.source[:min(int(n.Position()), len(p.source))]
	line := strings.Count(before, "\n") + 1
	column := len([]rune(before[strings.LastIndexByte(before, '\n')+1:])) + 1
	return fmt.Sprintf("line %d, column %d", line, column)
}

func (p *part) unsupported(n parse.Node, what string) error {
	return fmt.Errorf("%s, %s: %s is not supported; a prompt has {{.Text}}, {{.Source}}, {{.Name}}, {{.column}}, {{field \"any column\"}} and {{if}}",
		p.what, p.at(n), what)
}

// list checks the nodes of a template: text, actions and ifs, nothing else.
func (p *part) list(l *parse.ListNode) error {
	if l == nil {
		return nil
	}
	for _, n := range l.Nodes {
		var err error
		switch n := n.(type) {
		case *parse.TextNode, *parse.CommentNode:
		case *parse.ActionNode:
			err = p.pipe(n.Pipe, false)
		case *parse.IfNode:
			if err = p.pipe(n.Pipe, true); err == nil {
				err = p.list(n.List)
			}
			if err == nil {
				err = p.list(n.ElseList)
			}
		default:
			err = p.unsupported(n, n.String())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *part) pipe(pipe *parse.PipeNode, asked bool) error {
	if len(pipe.Decl) > 0 {
		return p.unsupported(pipe, "a variable")
	}
	for _, c := range pipe.Cmds {
		if len(pipe.Cmds) > 1 {
			return p.unsupported(c, "a pipeline")
		}
		if err := p.command(c, asked); err != nil {
			return err
		}
	}
	return nil
}

func (p *part) command(c *parse.CommandNode, asked bool) error {
	f, isCall := c.Args[0].(*parse.IdentifierNode)
	if isCall && f.Ident == "field" {
		if len(c.Args) == 2 {
			if name, ok := c.Args[1].(*parse.StringNode); ok {
				p.use(name, name.Text, asked)
				c.Args = []parse.Node{parse.NewIdentifier("index").SetPos(f.Pos), &parse.DotNode{}, name}
				return nil
			}
		}
		return fmt.Errorf("%s, %s: write {{field \"name\"}}, with the name of one column in quotes", p.what, p.at(c))
	}
	for _, arg := range c.Args {
		switch arg := arg.(type) {
		case *parse.FieldNode:
			if len(arg.Ident) > 1 {
				return fmt.Errorf("%s, %s: %s: a field has no parts; for a name with a dot write {{field %q}}",
					p.what, p.at(arg), arg, strings.Join(arg.Ident, "."))
			}
			p.use(arg, arg.Ident[0], asked)
		case *parse.IdentifierNode:
			if !slices.Contains(allowed, arg.Ident) {
				return p.unsupported(arg, arg.Ident)
			}
		case *parse.PipeNode:
			if err := p.pipe(arg, asked); err != nil {
				return err
			}
		case *parse.StringNode, *parse.NumberNode, *parse.BoolNode:
		default:
			return p.unsupported(arg, arg.String())
		}
	}
	return nil
}

func (p *part) use(n parse.Node, name string, asked bool) {
	if !p.used[name] {
		p.used[name] = true
		p.uses = append(p.uses, use{name, n})
	}
	if asked {
		p.optional[name] = true
	}
}

func (p *part) mentionsText() bool {
	return slices.ContainsFunc(p.uses, use.ofText)
}

// ofText reports whether it is the text, which every document has, that is used.
func (u use) ofText() bool { return u.name == "Text" || isText(u.name) }

// isText reports whether a member of that name can be a JSON document's text,
// which is then its body and not among its fields.
func isText(member string) bool { return slices.Contains(textMembers, member) }

// render fills the template in from the document.
func (p *part) render(d *jobs.Document) (string, error) {
	if p.source == "" {
		return "", nil
	}
	values := make(map[string]string, len(p.uses))
	for _, u := range p.uses {
		values[u.name], _ = value(d, u.name)
	}
	var b rendered
	err := p.fill(&b, values)
	if err != nil {
		return "", jobs.Failf(jobs.InvalidRequest, "rendering the %s for %s: %v", p.what, d.Source, err)
	}
	return b.String(), nil
}

// fill writes the template with its values, or the pieces one after the other.
func (p *part) fill(b *rendered, values map[string]string) error {
	if p.pieces == nil {
		return p.template.Execute(b, values)
	}
	size := 0
	for i, piece := range p.pieces {
		if i%2 == 1 {
			piece = values[piece]
		}
		size += len(piece)
	}
	b.Grow(min(size, mostRendered))
	for i, piece := range p.pieces {
		if i%2 == 1 {
			piece = values[piece]
		}
		if _, err := b.WriteString(piece); err != nil {
			return err
		}
	}
	return nil
}

// mostRendered is twice as much as a document may have: a prompt may mention it
// many times.
const mostRendered = 64 << 20

// rendered is a prompt while it is written.
type rendered struct{ strings.Builder }

var errRendered = errors.New("it comes to more than 64 MiB: mention the document fewer times")

func (b *rendered) Write(text []byte) (int, error) {
	if b.Len()+len(text) > mostRendered {
		return 0, errRendered
	}
	return b.Builder.Write(text)
}

// WriteString is Write, without a copy.
func (b *rendered) WriteString(text string) (int, error) {
	if b.Len()+len(text) > mostRendered {
		return 0, errRendered
	}
	return b.Builder.WriteString(text)
}

// value looks a name up in a document: its fields, then its own properties.
func value(d *jobs.Document, name string) (string, bool) {
	if v, ok := d.Fields[name]; ok {
		return v, true
	}
	switch name {
	case "Text":
		return paged(d.Text()), true
	case "Source":
		return d.Source, true
	case "Name":
		return path.Base(d.Source), true
	}
	if isText(name) {
		return paged(d.Text()), true
	}
	return "", false
}

// known lists the fields of a document for an error message.
func known(d *jobs.Document) string {
	names := slices.Sorted(maps.Keys(d.Fields))
	const most = 20
	if len(names) == 0 {
		return "none: only rows and JSON objects have fields"
	}
	more := ""
	if len(names) > most {
		more = fmt.Sprintf(" and %d more", len(names)-most)
		names = names[:most]
	}
	return strings.Join(names, ", ") + more
}
