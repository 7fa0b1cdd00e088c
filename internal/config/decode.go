package config

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// decoder puts a YAML file into a document and remembers where every setting
// stood. It goes over the syntax tree itself, since that alone knows the lines.
type decoder struct {
	*report
	anchors map[string]ast.Node
}

// decode reports whether the file could be read at all.
func (l *report) decode(data []byte, into *document) bool {
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		l.unreadable(err)
		return false
	}
	docs := slices.DeleteFunc(file.Docs, func(d *ast.DocumentNode) bool { return d.Body == nil })
	if len(docs) == 0 {
		return true
	}
	d := &decoder{l, map[string]ast.Node{}}
	if len(docs) > 1 {
		l.wrongAt(d.at(docs[1].Body), "", "a second document begins here: only one is read")
	}
	ast.Walk(d, docs[0].Body)
	d.node("", docs[0].Body, reflect.ValueOf(into).Elem(), "")
	return true
}

func (l *report) unreadable(err error) {
	at := place{name: l.name}
	text := err.Error()
	if e, ok := errors.AsType[yaml.Error](err); ok {
		text = e.GetMessage()
		if token := e.GetToken(); token != nil && token.Position != nil {
			at.line, at.column = token.Position.Line, token.Position.Column
		}
	}
	first, _, _ := strings.Cut(text, "\n")
	l.wrongAt(at, "", "not valid YAML: %s", first)
}

// Visit collects the anchors, which may stand anywhere.
func (d *decoder) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok {
		d.anchors[text(a.Name)] = a.Value
	}
	return d
}

// node decodes one node into v. The tag is that of the field it belongs to.
func (d *decoder) node(path string, n ast.Node, v reflect.Value, tag reflect.StructTag) {
	n = d.real(n)
	if n == nil || n.Type() == ast.NullType {
		return // as if it were not there
	}
	t := v.Type()
	switch {
	case isScalar(t):
		d.scalar(path, n, v, tag)
	case t.Kind() == reflect.Pointer:
		to := reflect.New(t.Elem())
		d.node(path, n, to.Elem(), tag)
		v.Set(to)
	case t.Kind() == reflect.Slice:
		d.slice(path, n, v, tag)
	case t.Kind() == reflect.Map:
		d.table(path, n, v)
	default:
		d.structure(path, n, v)
	}
}

func (d *decoder) scalar(path string, n ast.Node, v reflect.Value, tag reflect.StructTag) {
	_, isText := n.(*ast.StringNode)
	_, isBlock := n.(*ast.LiteralNode)
	_, isWord := n.(ast.ScalarNode)
	switch {
	case !isWord:
		d.wrongAt(d.at(n), path, "%s must be a single value, not %s", path, kindOf(n))
	case v.Kind() == reflect.String && !isText && !isBlock:
		d.wrongAt(d.at(n), path, "%s must be text: put it in quotes", path)
	default:
		if err := setScalar(v, text(n), tag); err != nil {
			d.wrongAt(d.at(n), path, "%s must be %v", path, err)
		}
	}
}

func (d *decoder) slice(path string, n ast.Node, v reflect.Value, tag reflect.StructTag) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		d.wrongAt(d.at(n), path, "%s must be a list, not %s", path, kindOf(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(list.Values), len(list.Values)))
	for i, item := range list.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.places[at] = d.at(item)
		fillDefaults(v.Index(i))
		d.node(at, item, v.Index(i), tag)
	}
}

func (d *decoder) table(path string, n ast.Node, v reflect.Value) {
	entries, ok := d.entries(n, 0)
	if !ok {
		d.wrongAt(d.at(n), path, "%s must be a table of names, not %s", path, kindOf(n))
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range entries {
		name := text(e.Key)
		at := join(path, name)
		d.places[at] = d.at(e.Key)
		if !validName.MatchString(name) {
			d.wrong(at, "%q cannot be a name in %s: use 1 to 64 letters, digits, '.', '-', '_', ':' or '/'", clip(name), path)
			continue
		}
		item := reflect.New(v.Type().Elem()).Elem()
		fillDefaults(item)
		d.node(at, e.Value, item, "")
		v.SetMapIndex(reflect.ValueOf(name), item)
	}
}

// validName keeps names fit for a Redis key, whose hash tag braces would
// break, and for a column of a report.
var validName = regexp.MustCompile(`^[A-Za-z0-9._:/-]{1,64}$`)

func (d *decoder) structure(path string, n ast.Node, v reflect.Value) {
	list, short := alone(v.Type())
	if _, is := n.(*ast.SequenceNode); is && short {
		d.slice(path, n, v.FieldByIndex(list.Index), list.Tag)
		return
	}
	entries, ok := d.entries(n, 0)
	switch {
	case !ok && short:
		d.wrongAt(d.at(n), path, "%s must be a list, or a table of settings, not %s", path, kindOf(n))
		return
	case !ok:
		d.wrongAt(d.at(n), path, "%s must be a table of settings, not %s", orFile(path), kindOf(n))
		return
	}
	fields := fieldsOf(v.Type())
	for _, e := range entries {
		key := text(e.Key)
		at := join(path, key)
		f, known := fields[key]
		if !known {
			d.unknown(e.Key, path, key, fields)
			continue
		}
		d.places[at] = d.at(e.Key)
		d.node(at, e.Value, v.FieldByIndex(f.Index), f.Tag)
	}
}

// unknown refuses a key, with the reason where somebody tried to write a
// secret.
func (d *decoder) unknown(key ast.Node, path, name string, fields map[string]reflect.StructField) {
	at := join(path, name)
	switch {
	case path == "" && strings.HasPrefix(name, "x-"):
		// A place for anchors, as in Compose files.
	case name == "api_key" || name == "key":
		d.wrongAt(d.at(key), at, "a key does not belong in this file, where others will see it: name the environment variable that holds it with api_key_env, or a file with api_key_file")
	case name == "password" || name == "token" || name == "secret":
		kept := "password"
		if _, ok := fields[name+"_env"]; ok {
			kept = name
		}
		d.wrongAt(d.at(key), at, "a %s does not belong in this file, where others will see it: name the environment variable that holds it with %[2]s_env, or a file with %[2]s_file", name, kept)
	default:
		names := make([]string, 0, len(fields))
		for n := range fields {
			names = append(names, n)
		}
		d.wrongAt(d.at(key), at, "unknown key %q%s", clip(name), DidYouMean(name, names))
	}
}
