package documents

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/drover-batch/drover/jobs"
)

// endpoints are the urls that lines of an OpenAI batch file may ask for.
var endpoints = []string{"/v1/chat/completions", "/v1/responses", "/v1/embeddings"}

// looksLikeRequest recognises a line of an OpenAI batch file, even one that
// lacks a member.
func looksLikeRequest(v gjson.Result) bool {
	return v.Get("method").Exists() && v.Get("url").Exists() &&
		(v.Get("custom_id").Exists() || v.Get("body").Exists())
}

// request yields a line of an OpenAI batch file as a ready request, whose body
// is kept byte for byte.
func (s *source) request(n int, v gjson.Result) bool {
	id, method, url, body := v.Get("custom_id"), v.Get("method"), v.Get("url"), v.Get("body")
	switch {
	case id.Type != gjson.String || id.Str == "":
		return s.problem(n, "has no custom_id", "give it a text of its own as custom_id")
	case method.Str != "POST":
		return s.problem(n, fmt.Sprintf("method %s is not supported", method.Raw), `use "POST"`)
	case !slices.Contains(endpoints, url.Str):
		return s.problem(n, fmt.Sprintf("url %s is not supported", url.Raw),
			"use "+strings.Join(endpoints, " or "))
	case !body.Exists():
		return s.problem(n, "has no body", `put the request in "body"`)
	case !body.IsObject():
		return s.problem(n, "its body is "+kindOf(body)+" and not an object", "write the request itself, not quoted")
	}
	return s.document(id.Str, n, jobs.Document{Endpoint: url.Str, Body: []byte(body.Raw)})
}
