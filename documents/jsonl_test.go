package documents

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-batch/drover/jobs"
)

func TestJSONLLines(t *testing.T) {
	dir := folder(t, map[string]string{"r.jsonl": strings.Join([]string{
		`{"custom_id":"one","text":"Body","n":1.50,"ok":true,"none":null,"list":[1, 2]}`,
		`{"vendor":"acme"}`,
		`{"text":""}`,
		`{"text":"a"`,
		`"just text"`,
		"",
		`{"id":3,"document":"` + "caf\xe9" + `"}`,
		`{"text":"` + strings.Repeat("x", 70_000) + `"}`,
		`{"custom_id":"last","content":"no line break"}`,
	}, "\r\n")})
	items, problems := readAll(t, Config{MaxBody: 60_000}, dir, dir)
	want := []Item{
		{"one", jobs.Document{Source: "r.jsonl:1", Body: []byte("Body"), Fields: map[string]string{
			"custom_id": "one", "n": "1.50", "ok": "true", "none": "", "list": "[1, 2]"}}},
		{"r.jsonl:2", jobs.Document{Source: "r.jsonl:2", Body: []byte(`{"vendor":"acme"}`), Fields: map[string]string{"vendor": "acme"}}},
		{"3", jobs.Document{Source: "r.jsonl:7", Body: []byte("café"), Fields: map[string]string{"id": "3"}}},
		{"last", jobs.Document{Source: "r.jsonl:9", Body: []byte("no line break"), Fields: map[string]string{"custom_id": "last"}}},
	}
	if diff := cmp.Diff(want, items); diff != "" {
		t.Error(diff)
	}
	wantProblems := []string{
		`r.jsonl:3: its member "text" is empty; put text in it or leave it out`,
		"r.jsonl:4: malformed JSON at column 11: unexpected end of JSON input; correct the line",
		`r.jsonl:5: is a string and not an object; write it as {"text": "..."}`,
		"r.jsonl:8: is larger than 60000 bytes; split it",
	}
	if diff := cmp.Diff(wantProblems, problems); diff != "" {
		t.Error(diff)
	}
}

func TestBatchLinesKeepTheirBodyByteForByte(t *testing.T) {
	body := `{ "model":"m",  "messages":[{"role":"user","content":"caf\u00e9 \/"}], "x":1e400 }`
	line := func(id, method, url, body string) string {
		return fmt.Sprintf(`{"custom_id":%s,"method":%q,"url":%q,"body":%s}`, id, method, url, body)
	}
	const chat = "/v1/chat/completions"
	dir := folder(t, map[string]string{"r.jsonl": strings.Join([]string{
		line(`"a"`, "POST", chat, body),
		line(`"b"`, "GET", chat, body),
		line(`"c"`, "POST", "/v1/images", body),
		line(`"d"`, "POST", chat, `"{}"`),
		line(`""`, "POST", chat, body),
		`{"custom_id":"f","method":"POST","url":"` + chat + `"}`,
		line(`"a"`, "POST", chat, body),
	}, "\n")})
	items, problems := readAll(t, Config{}, dir, dir)
	want := []Item{{"a", jobs.Document{Source: "r.jsonl:1", Endpoint: chat, Body: []byte(body)}}}
	if diff := cmp.Diff(want, items); diff != "" {
		t.Error(diff)
	}
	wantProblems := []string{
		`r.jsonl:2: method "GET" is not supported; use "POST"`,
		`r.jsonl:3: url "/v1/images" is not supported; use /v1/chat/completions or /v1/responses or /v1/embeddings`,
		"r.jsonl:4: its body is a string and not an object; write the request itself, not quoted",
		"r.jsonl:5: has no custom_id; give it a text of its own as custom_id",
		`r.jsonl:6: has no body; put the request in "body"`,
		`r.jsonl:7: the custom id "a" is taken by r.jsonl:1; give every document an id of its own`,
	}
	if diff := cmp.Diff(wantProblems, problems); diff != "" {
		t.Error(diff)
	}
}
