package llm

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/tiktoken-go/tokenizer"
	"pgregory.net/rapid"

	"github.com/drover-batch/drover/internal/racing"
	"github.com/drover-batch/drover/jobs"
)

// samples are texts of all kinds that count differently.
func samples() map[string]string {
	r := rand.New(rand.NewPCG(1, 2))
	letters := func(alphabet string, n int) string {
		all := []rune(alphabet)
		var b strings.Builder
		for range n {
			b.WriteRune(all[r.IntN(len(all))])
		}
		return b.String()
	}
	return map[string]string{
		"prose":       strings.Repeat("It was the best of times, it was the worst of times; it's 1775 & nobody's sure.\r\n\r\n  Indented, \"quoted\". ", 40),
		"german":      strings.Repeat("Donaudampfschifffahrtsgesellschaftskapitän Müller fährt über die Straße. ", 40),
		"chinese":     strings.Repeat("量子计算机利用量子力学的原理进行信息处理。", 60),
		"japanese":    strings.Repeat("吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。", 40),
		"thai":        strings.Repeat("ภาษาไทยเป็นภาษาที่มีระดับเสียง ", 40),
		"georgian":    strings.Repeat("ქართული ენა არის ლამაზი. ", 40),
		"emoji":       strings.Repeat("👩‍👩‍👧‍👦🏳️‍🌈 ", 60),
		"code":        strings.Repeat("func (s *Server) wait(ctx context.Context, d time.Duration) bool {\n\tif err := f(a[i]<<2); err != nil {\n\t\treturn x != y && !z\n\t}\n}\n", 30),
		"json":        strings.Repeat(`{"id":"a1b2","price":12.50,"tags":["x","y"],"ok":true},`, 40),
		"base64":      letters("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 4000),
		"hex":         letters("0123456789abcdef", 4000),
		"digits":      letters("0123456789", 4000),
		"spaces":      letters("a \n\t\r  ", 4000),
		"punctuation": letters("!@#$%^&*()_+-=[]{};':\",./<>?\\|`~ ", 4000),
		"rare":        letters("𐀀𐀁𒀀𓀀𝔘ꙮ꧁ᚠ", 1000),
		"wide spaces": strings.Repeat("a  \u00a0b \u00a0c\u3000 d ", 5),
		"bytes":       string([]byte{0xff, 0xfe, 0x80, 'a', ' ', 0xc3, 0x28}),
	}
}

func whole(t testing.TB, enc tokenizer.Encoding, text string) int64 {
	t.Helper()
	codec, err := tokenizer.Get(enc)
	if err != nil {
		t.Fatal(err)
	}
	n, err := codec.Count(text)
	if err != nil {
		t.Fatal(err)
	}
	return int64(n)
}

func TestCountingByWordsIsExact(t *testing.T) {
	codec, _ := o200k()
	older, _ := cl100k()
	newer, old := newCounter("gpt-4.1"), newCounter("gpt-4-0613")
	check := func(t interface{ Errorf(string, ...any) }, name, text string) {
		for range 2 { // the second time from memory
			want, _ := codec.Count(text)
			if got := newer.count(codec, text); got != int64(want) {
				t.Errorf("%s: %d tokens, want %d", name, got, want)
			}
			want, _ = older.Count(text)
			if got := old.count(older, text); got != int64(want) {
				t.Errorf("%s, older: %d tokens, want %d", name, got, want)
			}
		}
	}
	for name, text := range samples() {
		check(t, name, text)
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, "random", rapid.StringOf(rapid.RuneFrom([]rune("ab's1 2 \n\r\t.,/é量\u00a0\u3000👍A"))).Draw(t, "text"))
	})
}

// A ready body, whose text is escaped and surrounded by punctuation, must
// count at least as much as the messages in it.
func TestTokensAreNeverUnderestimated(t *testing.T) {
	for name, text := range samples() {
		text = strings.ToValidUTF8(text, "?")
		for upstream, enc := range map[string]tokenizer.Encoding{
			"gpt-4.1-mini": tokenizer.O200kBase, "openai/gpt-4-turbo": tokenizer.Cl100kBase,
			// Whichever of the known tokenizers an unknown model resembles.
			"llama3.2": tokenizer.Cl100kBase, "mystery": tokenizer.R50kBase,
		} {
			m := model("openai")
			m.Upstream, m.Context = upstream, 1<<20 // what does not fit is free
			c := mustNew(t, m, says(200, nil, ""))
			truth := whole(t, enc, text) + 3 + 1 + 3 // around the message, its role, before the answer
			quoted, _ := json.Marshal(text)
			ready := &jobs.Request{Endpoint: chatEndpoint, Body: []byte(`{"messages":[{"role":"user","content":` + string(quoted) + `}]}`)}
			for form, req := range map[string]*jobs.Request{"prompt": prompt(text), "ready": ready} {
				if got := c.Tokens(req); got < truth {
					t.Errorf("%s, %s, %s: %d tokens reserved, %d needed", name, upstream, form, got, truth)
				}
			}
		}
	}
}

// A text of one endless word took minutes to count, and one of half a
// gigabyte would have taken hours.
func TestLongTextsAreCountedInTime(t *testing.T) {
	t.Parallel()
	racing.Spare(t, "half a minute of one goroutine")
	codec, err := o200k()
	if err != nil {
		t.Fatal(err)
	}
	for name, unit := range map[string]string{"one word": "a", "base64": samples()["base64"], "prose": samples()["prose"], "chinese": samples()["chinese"]} {
		text := strings.Repeat(unit, 1<<20/len(unit))
		c := newCounter("gpt-4.1")
		truth := c.count(codec, text)
		if got := c.countTo(codec, text, 1<<40); got < truth || got > truth+4*seam {
			t.Errorf("%s: %d tokens by blocks, %d as a whole", name, got, truth)
		}
		long := strings.Repeat(unit, 32<<20/len(unit))
		if got := c.countTo(codec, long, truth/4); got < 31*truth || got > 33*truth {
			t.Errorf("%s: %d tokens estimated for about %d", name, got, 32*truth)
		}
	}
}

func TestProseIsNotReservedManyTimesOver(t *testing.T) {
	text := samples()["prose"]
	truth := whole(t, tokenizer.O200kBase, text)
	for upstream, most := range map[string]int64{"gpt-4.1": truth + truth/16 + 32, "claude-sonnet-4-5": 2*truth + truth/16 + 32} {
		m := model("openai")
		m.Upstream = upstream
		if got := mustNew(t, m, says(200, nil, "")).Tokens(prompt(text)); got > most {
			t.Errorf("%s: %d tokens reserved for %d", upstream, got, truth)
		}
	}
}

func TestImagesAndToolsCount(t *testing.T) {
	m := model("openai")
	body := `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x"}}]}]}`
	for upstream, least := range map[string]int64{"gpt-4.1": 1445, "gpt-4o-mini": 48_169} {
		m.Upstream = upstream
		if got := mustNew(t, m, says(200, nil, "")).Tokens(&jobs.Request{Endpoint: chatEndpoint, Body: []byte(body)}); got < least {
			t.Errorf("%s: an image counts %d", upstream, got)
		}
	}
	m.Context = 1 << 20
	for detail, least := range map[string]int64{"": 36_000, `,"detail":"auto"`: 36_000, `,"detail":"original"`: 36_000, `,"detail":"high"`: 3_000, `,"detail":"low"`: 100} {
		ready := `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x"` + detail + `}}]}]}`
		for upstream, whole := range map[string]bool{"gpt-6-luna": true, "gpt-5.5": true, "gpt-5-mini": false} {
			m.Upstream = upstream
			got := mustNew(t, m, says(200, nil, "")).Tokens(&jobs.Request{Endpoint: chatEndpoint, Body: []byte(ready)})
			if whole && got < least || got > 6_000 && (!whole || least < 36_000) {
				t.Errorf("%s: an image with %q counts %d", upstream, detail, got)
			}
		}
	}
	m.Context, m.Upstream = 1000, "gpt-4o-mini"
	req := prompt("x")
	c := mustNew(t, m, says(200, nil, ""))
	without := c.Tokens(req)
	req.Messages[0].Images = []jobs.Image{{Type: "image/png"}}
	if with := c.Tokens(req); with < without+1445 {
		t.Errorf("an image in a message counts %d", with-without)
	}
	req.Messages[0].Images = nil
	req.Tools = []jobs.Tool{{Name: "t", Schema: []byte(`{}`)}}
	if with := c.Tokens(req); with < without+530 {
		t.Errorf("a tool counts %d", with-without)
	}
}

// A picture in a line of a batch file was counted as the text of its base64, for
// which no model had room.
func TestAPictureInAReadyRequestIsNoText(t *testing.T) {
	t.Parallel()
	data := strings.Repeat("iVBORw0KGgoAAAANSUhEUgAA/+", 1_000)
	url := `"data:image/png;base64,` + data + `"`
	chat := func(part string) string {
		return `{"messages":[{"role":"user","content":[{"type":"text","text":"What?"},` + part + `,` + part + `]}],"max_tokens":9}`
	}
	for name, row := range map[string]struct {
		endpoint, body string
		picture        bool
	}{
		"chat":               {chatEndpoint, chat(`{"type":"image_url","image_url":{"url":` + url + `,"detail":"low"}}`), true},
		"without an object":  {chatEndpoint, chat(`{"image_url":` + url + `,"type":"image_url"}`), true},
		"as PHP writes it":   {chatEndpoint, chat(`{"type":"image_url","image_url":{"url":` + strings.ReplaceAll(url, "/", `\/`) + `}}`), true},
		"responses":          {responsesEndpoint, `{"input":[{"role":"user","content":[{"type":"input_image","image_url":` + url + `}]}]}`, true},
		"result of a tool":   {responsesEndpoint, `{"input":[{"type":"function_call_output","output":[{"type":"input_image","image_url":` + url + `}]}]}`, true},
		"text that says so":  {chatEndpoint, chat(`{"type":"text","text":` + url + `}`), false},
		"text beside it":     {chatEndpoint, chat(`{"type":"image_url","image_url":{"url":"https://x"},"text":` + url + `}`), false},
		"text of a message":  {chatEndpoint, `{"messages":[{"role":"user","content":` + url + `}],"x":"image_url"}`, false},
		"picture of no kind": {chatEndpoint, chat(`{"type":"image_url","image_url":{"url":"data:text/plain,` + data + `"}}`), false},
	} {
		c := mustNew(t, model("openai"), says(200, nil, ""))
		got := c.Tokens(&jobs.Request{Endpoint: row.endpoint, Body: []byte(row.body)})
		if row.picture && (got < 1445 || got > 10_000) || !row.picture && got < 15_000 {
			t.Errorf("%s: counts %d tokens", name, got)
		}
	}
}

// A file counted as the text of its base64, for which no model had room.
func TestAFileInAReadyRequestIsNoText(t *testing.T) {
	t.Parallel()
	data := `"data:application/pdf;base64,` + strings.Repeat("iVBORw0KGgoAAAANSUhEUgAA/+", 10_000) + `"`
	for name, row := range map[string]struct{ endpoint, body string }{
		"chat":      {chatEndpoint, `{"messages":[{"role":"user","content":[{"type":"file","file":{"filename":"a.pdf","file_data":` + data + `}}]}]}`},
		"responses": {responsesEndpoint, `{"input":[{"role":"user","content":[{"type":"input_file","file_data":` + data + `}]}]}`},
	} {
		m := model("openai")
		m.Context = 64_000
		c := mustNew(t, m, says(200, nil, ""))
		req := &jobs.Request{Endpoint: row.endpoint, Body: []byte(row.body)}
		likely, most := c.Bounds(req)
		if room := int64(m.Context - c.limit(req, 0)); most != room || likely > 10_000 {
			t.Errorf("%s: counts %d tokens, %d at the most, and there is room for %d", name, likely, most, room)
		}
	}
}

func TestSchemasCount(t *testing.T) {
	t.Parallel()
	for _, structured := range []bool{true, false} {
		m := model("openai")
		m.Context, m.Structured = 0, structured
		c := mustNew(t, m, says(200, nil, ""))
		req := prompt("x")
		without := c.Tokens(req)
		req.Schema = []byte(`{"enum":["` + strings.Repeat("one of many words ", 100) + `"]}`)
		if more := c.Tokens(req) - without; more < 400 {
			t.Errorf("structured %v: a schema of 400 words counts %d tokens", structured, more)
		}
	}
}

// A document that fits a context must not be held back because nobody knows
// the model's tokenizer.
func TestWhatMayFitCountsAsFitting(t *testing.T) {
	prose := samples()["prose"]
	truth := whole(t, tokenizer.O200kBase, prose)
	for _, row := range []struct {
		upstream string
		context  int64
		fits     bool
	}{
		{"gpt-4.1", truth + 500 + 24, true}, {"gpt-4.1", truth + 499, false},
		{"claude-sonnet-4-5", truth + 500 + 24, true}, {"claude-sonnet-4-5", 2*truth + 600, true}, {"claude-sonnet-4-5", truth + 499, false},
	} {
		m := model("openai")
		m.Upstream, m.Context = row.upstream, int(row.context)
		got := mustNew(t, m, says(200, nil, "")).Tokens(prompt(prose))
		if fits := got <= row.context-500; fits != row.fits || got < truth {
			t.Errorf("%+v: %d tokens", row, got)
		}
	}
}

func TestPricesAreFound(t *testing.T) {
	for _, row := range []struct {
		upstream string
		input    jobs.USD
		known    bool
	}{
		{"gpt-4.1-mini", 400_000, true}, {"gpt-4.1-mini-2025-04-14", 400_000, true}, {"openai/gpt-4.1", 2_000_000, true},
		{"claude-sonnet-4-5-20250929", 3_000_000, true}, {"claude-opus-4-5", 5_000_000, true}, {"gemini-2.5-flash-lite", 100_000, true},
		{"models/gemini-2.5-flash", 300_000, true}, {"text-embedding-3-small", 20_000, true}, {"gpt-4o-latest", 2_500_000, true},
		{"gpt-6.1-sol-2026-09-29", 2_000_000, true}, {"claude-opus-5", 5_000_000, true}, {"claude-opus-5-5", 4_000_000, true}, {"claude-haiku-5-5", 100_000, true},
		{"gpt-6.1-sol-fast", 0, false}, {"gpt-4.1-nonsense", 0, false}, {"ft:gpt-4.1:acme", 0, false}, {"llama3.2", 0, false}, {"gpt-4o-audio-preview", 0, false}, {"", 0, false},
	} {
		price, ok := Lookup(row.upstream)
		if ok != row.known || price.Input != row.input {
			t.Errorf("%s: %+v, %v", row.upstream, price, ok)
		}
		if !ok {
			continue
		}
		k, known := find(row.upstream)
		if price.AsOf == "" || price.CachedInput > price.Input || price.CachedInput == 0 || !known || k.context < 8_000 {
			t.Errorf("%s: %+v, context %d", row.upstream, price, k.context)
		}
	}
}

func TestEveryRowOfTheTableIsReachable(t *testing.T) {
	for _, k := range table {
		if got, ok := find(k.name); !ok || got != k {
			t.Errorf("%s finds %+v", k.name, got)
		}
	}
}

// The true counts are those that ctok 1.3, a reconstruction of Claude's tokenizer,
// gives for ten of each.
func TestTokensOfNewerClaudesAreNotUnderestimated(t *testing.T) {
	t.Parallel()
	for text, truth := range map[string]int64{
		"Die Kündigungsfrist beträgt drei Monate zum Quartalsende, sofern nicht gesetzliche Vorschriften entgegenstehen. Verwaltungsvorschriften und Grundstücksverkehrsgenehmigungszuständigkeiten gelten entsprechend.": 1031,
		"Die Mieterin zahlt die Miete bis zum dritten Werktag eines Monats auf das Konto der Vermieterin. Schönheitsreparaturen trägt die Vermieterin, Kleinreparaturen bis 100 Euro die Mieterin.":                       921,
		"IN NO EVENT SHALL EITHER PARTY BE LIABLE FOR INDIRECT, INCIDENTAL OR CONSEQUENTIAL DAMAGES, HOWEVER CAUSED AND UNDER ANY THEORY OF LIABILITY.":                                                                   991,
		"getUserIdHttpURL XMLHttpRequestBarURL userIDFooHttpXML getURLForUserXMLId":                                                                                                                                       459,
	} {
		for upstream, fine := range map[string]bool{
			"claude-opus-4-7": true, "anthropic/claude-opus-4.8": true, "claude-sonnet-5": true, "claude-haiku-5-5": true, "claude-fable-5-1": true,
			"claude-sonnet-4-5": false, "claude-opus-4-6": false, "llama3.2": false,
		} {
			m := model("anthropic")
			m.Upstream, m.Context = upstream, 1<<20
			likely, most := mustNew(t, m, http.DefaultClient).Bounds(prompt(strings.Repeat(text, 10)))
			if fine && most < truth || likely > most {
				t.Errorf("%s: %d tokens reserved, %d needed, of %.20s", upstream, most, truth, text)
			}
		}
	}
}
