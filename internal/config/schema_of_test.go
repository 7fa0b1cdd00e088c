package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Schema is the JSON Schema of the file, for editors. docs/drover.schema.json is
// made of it, see TestReferenceNamesEverySetting.
func Schema() []byte {
	root := schemaOf(reflect.TypeFor[document](), "")
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	root["title"] = "drover.yaml"
	root["patternProperties"] = map[string]any{"^x-": map[string]any{}}
	data, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("config: encoding the schema: %v", err))
	}
	return append(data, '\n')
}

func schemaOf(t reflect.Type, tag reflect.StructTag) map[string]any {
	var s map[string]any
	switch {
	case isScalar(t):
		s = scalarSchema(t, tag)
	case t.Kind() == reflect.Pointer:
		return schemaOf(t.Elem(), tag)
	case t.Kind() == reflect.Slice:
		item := schemaOf(t.Elem(), reflect.StructTag(strings.ReplaceAll(string(tag), "help:", "_:")))
		s = map[string]any{"type": "array", "items": item}
	case t.Kind() == reflect.Map:
		s = map[string]any{
			"type":                 "object",
			"additionalProperties": schemaOf(t.Elem(), ""),
			"propertyNames":        map[string]any{"pattern": validName.String()},
		}
	default:
		properties := map[string]any{}
		for name, f := range fieldsOf(t) {
			properties[name] = schemaOf(f.Type, f.Tag)
		}
		s = map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
		if f, ok := alone(t); ok {
			s = map[string]any{"oneOf": []any{schemaOf(f.Type, f.Tag), s}}
		}
	}
	if help := tag.Get("help"); help != "" {
		s["description"] = help
	}
	return s
}

func scalarSchema(t reflect.Type, tag reflect.StructTag) map[string]any {
	s := map[string]any{"type": "string"}
	text, hasDefault := tag.Lookup("default")
	switch {
	case t == bytesType:
		s["type"] = []string{"string", "integer"}
	case t == usdType:
		s["type"] = []string{"string", "number"}
	case t == durationType:
		s["pattern"] = `^([0-9.]+(ns|us|µs|ms|s|m|h))+$|^0$`
	case t.Kind() == reflect.Bool:
		s["type"] = "boolean"
	case t.Kind() == reflect.Float64:
		s["type"] = "number"
		bounds(s, tag)
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64:
		s["type"] = "integer"
		bounds(s, tag)
	}
	if list := tag.Get("enum"); list != "" {
		s["enum"] = strings.Split(list, "|")
	}
	if hasDefault {
		s["default"] = literal(s["type"], text)
	}
	return s
}

func bounds(s map[string]any, tag reflect.StructTag) {
	for key, name := range map[string]string{"min": "minimum", "max": "maximum"} {
		if text := tag.Get(key); text != "" {
			s[name] = json.Number(text)
		}
	}
}

// literal is a default as the file would have it.
func literal(kind any, text string) any {
	if kind == "integer" || kind == "number" {
		return json.Number(text)
	}
	return text
}
