package llm

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"

	"github.com/tidwall/gjson"

	"github.com/drover-batch/drover/jobs"
)

// appendFormat writes the members of OpenAI's json_schema format. It is strict
// if the schema allows that; otherwise the provider would refuse it.
func appendFormat(b []byte, schema json.RawMessage) []byte {
	b = append(b, `"name":"answer","strict":`...)
	if strict(gjson.ParseBytes(schema), 0) {
		b = append(b, `true`...)
	} else {
		b = append(b, `false`...)
	}
	return append(append(b, `,"schema":`...), schema...)
}

// inWords asks for an answer in a form that the provider does not enforce.
const inWords = "Answer with one JSON value that matches this JSON Schema, and with nothing else:\n"

// told is the request as its model has to hear it: one that cannot be held to
// a schema finds it in the system prompt.
func (c *Client) told(req *jobs.Request) *jobs.Request {
	if len(req.Schema) == 0 || req.Body != nil || c.held(req) {
		return req
	}
	heard := *req
	heard.Schema = nil
	if heard.System != "" {
		heard.System += "\n\n"
	}
	heard.System += inWords + string(bytes.TrimSpace(req.Schema))
	return &heard
}

// held reports whether the provider itself sees to the form of the answer.
func (c *Client) held(req *jobs.Request) bool {
	switch c.model.Provider {
	case "openai-embeddings":
		return true // to vectors
	case "gemini":
		return c.model.Structured && len(req.Tools) == 0
	case "anthropic":
		return c.model.Structured && !open(gjson.ParseBytes(req.Schema), 0)
	}
	return c.model.Structured
}

// open reports whether an object may have members that the schema does not name.
// Anthropic would have it closed, and then it could only be empty.
func open(schema gjson.Result, depth int) bool {
	others, named := schema.Get("additionalProperties"), schema.Get("properties").IsObject()
	switch {
	case depth > deepest, others.Exists() && others.Type != gjson.False, schema.Get("patternProperties").Exists():
		return true
	case !named && !others.Exists() && isObject(schema.Get("type")):
		return true
	}
	found := false
	inside(schema, func(inner gjson.Result) {
		found = found || open(inner, depth+1)
	})
	return found
}

// isObject reports whether a schema's type, or one of them, is object.
func isObject(types gjson.Result) bool {
	return slices.ContainsFunc(types.Array(), func(t gjson.Result) bool { return t.Str == "object" })
}

// deepest bounds how far schemas are looked into.
const deepest = 32

// What OpenAI knows of JSON Schema where a schema is strict. It refuses a request
// with anything else in it.
var (
	strictKeys = []string{
		"$schema", "$ref", "$defs", "definitions", "type", "anyOf", "enum", "const", "title", "description",
		"properties", "required", "additionalProperties", "items", "minItems", "maxItems", "pattern", "format",
		"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
	}
	strictFormats = []string{"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)

// strict reports whether OpenAI takes a schema as strict: every object in it
// requires all of its properties and allows no others, the root is one, all say
// what they are, and nothing is in it that it does not know.
func strict(schema gjson.Result, depth int) bool {
	if depth > deepest || depth == 0 && schema.Get("type").Str != "object" {
		return false
	}
	fine := schema.Get("type").Exists() || schema.Get("anyOf").Exists() || schema.Get("$ref").Exists()
	schema.ForEach(func(key, value gjson.Result) bool {
		fine = fine && slices.Contains(strictKeys, key.Str) && (key.Str != "format" || slices.Contains(strictFormats, value.Str))
		return fine
	})
	if properties := schema.Get("properties"); properties.Exists() || schema.Get("type").Str == "object" {
		closed := schema.Get("additionalProperties")
		fine = fine && closed.Type == gjson.False
		var required []string
		for _, name := range schema.Get("required").Array() {
			required = append(required, name.String())
		}
		properties.ForEach(func(name, _ gjson.Result) bool {
			fine = fine && slices.Contains(required, name.Str)
			return fine
		})
	}
	inside(schema, func(inner gjson.Result) {
		fine = fine && strict(inner, depth+1)
	})
	return fine
}

// inside visits the schemas directly inside of one.
func inside(schema gjson.Result, visit func(gjson.Result)) {
	for _, key := range []string{"properties", "$defs", "definitions", "anyOf", "oneOf", "allOf"} {
		schema.Get(key).ForEach(func(_, inner gjson.Result) bool {
			visit(inner)
			return true
		})
	}
	if items := schema.Get("items"); items.IsObject() {
		visit(items)
	}
}

// What Anthropic's structured outputs know of JSON Schema; its own libraries
// rewrite schemas in the same way.
var (
	anthropicKeys = []string{
		"$ref", "$defs", "definitions", "type", "anyOf", "allOf", "enum", "const", "title", "description",
		"properties", "required", "additionalProperties", "items", "minItems", "format", "default",
	}
	anthropicFormats = []string{"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)

// forAnthropic writes a schema without what the provider would refuse. What is
// left out is said in the description, and the answer is checked either way.
func forAnthropic(schema json.RawMessage) json.RawMessage {
	var value any
	if json.Unmarshal(schema, &value) != nil {
		return schema
	}
	simpler, err := json.Marshal(simplify(value))
	if err != nil {
		return schema
	}
	return simpler
}

// isFormat reports whether the value is a format that Anthropic knows.
func isFormat(format any) bool {
	name, _ := format.(string)
	return slices.Contains(anthropicFormats, name)
}

func simplify(value any) any {
	in, ok := value.(map[string]any)
	if !ok {
		return value
	}
	if ref, ok := in["$ref"]; ok {
		return map[string]any{"$ref": ref}
	}
	out, extra := map[string]any{}, map[string]any{}
	for key, v := range in {
		switch {
		case key == "oneOf":
			out["anyOf"] = simplifyAll(v)
		case key == "format" && !isFormat(v),
			key == "minItems" && v != 0.0 && v != 1.0,
			!slices.Contains(anthropicKeys, key) && key != "$schema" && key != "$id":
			extra[key] = v
		case key == "properties" || key == "$defs" || key == "definitions" || key == "anyOf" || key == "allOf":
			out[key] = simplifyAll(v)
		case key == "items":
			out[key] = simplify(v)
		case key != "$schema" && key != "$id":
			out[key] = v
		}
	}
	if out["type"] == "object" || out["properties"] != nil {
		out["additionalProperties"] = false
	}
	if len(extra) > 0 {
		if said, err := json.Marshal(extra); err == nil {
			description, _ := out["description"].(string)
			if description != "" {
				description += "\n\n"
			}
			out["description"] = description + string(said)
		}
	}
	return out
}

func simplifyAll(value any) any {
	switch list := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(list))
		for key, v := range list {
			out[key] = simplify(v)
		}
		return out
	case []any:
		out := make([]any, len(list))
		for i, v := range list {
			out[i] = simplify(v)
		}
		return out
	}
	return value
}

// appendDataURL writes an image as a data: URL in quotes.
func appendDataURL(b []byte, image *jobs.Image) []byte {
	b = appendString(b, "data:"+image.Type+";base64,")
	return append(appendBase64(b[:len(b)-1], image.Data), '"')
}

func appendBase64(b, data []byte) []byte { return base64.StdEncoding.AppendEncode(b, data) }
