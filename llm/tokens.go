package llm

import (
	"bytes"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/tiktoken-go/tokenizer"

	"github.com/drover-batch/drover/jobs"
)

// Tokens is how many tokens the request's input has at the most; money and
// quota are reserved for as many. It is the exact count and a few percent for
// OpenAI's models. Others keep their tokenizers to themselves: they are
// allowed twice the tokens for ASCII and one token per byte for the rest,
// which also covers OpenAI's older vocabularies in tests, and never more than
// one per byte in all, which no byte-level tokenizer can exceed. Claude since 4.7
// is allowed three times the tokens, and one for every two capitals.
//
// A request that may well fit the model's context never counts as more than
// fits beside the longest answer: what is longer is rejected for free, so that
// is a bound too, and a model never asked cannot answer.
//
// An image named by its address counts as any other, the most that one can take. A
// file in the request counts as a token for each of its bytes; one that lies
// elsewhere is refused.
func (c *Client) Tokens(req *jobs.Request) int64 {
	_, most := c.Bounds(req)
	return most
}

// Bounds are how many tokens the request's input probably has, and at the
// most, see Tokens. Of a text far longer than the model's context the
// beginning is counted, and the rest taken by its length.
func (c *Client) Bounds(req *jobs.Request) (likely, most int64) {
	req = c.told(req)
	texts, with, overhead := parts(req, c.model.Name)
	overhead += (with.images + with.files) * c.perImage()
	if wholePictures.MatchString(bare(c.model.Upstream)) {
		overhead += with.whole * (perWholeImage - c.perImage())
	}
	if c.words == nil {
		n := byLength(texts) + with.bytes/4 + overhead
		return n, n
	}
	room := int64(c.model.Context - c.limit(req, 0))
	likely, most = c.words.bounds(texts, max(room, countedAtLeast))
	likely, most = likely+overhead, most+overhead+with.bytes
	if likely <= room {
		most = min(most, room)
	}
	return likely, most
}

// parts are a request's texts, what it carries besides, and the most tokens the
// protocol puts around the texts: 3 a message for OpenAI, and up to 530 for the
// instructions that Anthropic documents it adds when there are tools.
func parts(req *jobs.Request, model string) (texts []string, with enclosed, overhead int64) {
	if req.Body != nil {
		// A body's own punctuation is more than what it stands for.
		overhead = 16
		if bytes.Contains(req.Body, []byte(`"tools"`)) {
			overhead += 600
		}
		text, with := readyText(req)
		return []string{text}, with, overhead
	}
	texts = make([]string, 0, 1+2*len(req.Messages)+3*len(req.Tools))
	texts = append(texts, req.System)
	overhead = 16 + 8*int64(len(req.Messages))
	for i := range req.Messages {
		m := &req.Messages[i]
		texts = append(texts, m.Text, string(recalled(m, model)))
		with.images += int64(len(m.Images))
		for _, call := range m.Calls {
			texts = append(texts, call.Name, call.Arguments)
			overhead += 32
		}
	}
	for _, tool := range req.Tools {
		texts = append(texts, tool.Name, tool.Description, string(tool.Schema))
		overhead += 32
	}
	if len(req.Tools) > 0 {
		overhead += 600
	}
	if len(req.Schema) > 0 { // which providers write into a prompt of their own
		texts = append(texts, string(req.Schema))
		overhead += 200
	}
	return texts, with, overhead
}

// perImage is the most that an image counts: its tokens have nothing to do with
// its length.
func (c *Client) perImage() int64 {
	if strings.HasPrefix(bare(c.model.Upstream), "gpt-4o-mini") {
		return 48_200 // 2,833 and 5,667 for each of eight tiles
	}
	return 4_800
}

// wholePictures finds the models that look at all of a picture unless told: OpenAI's
// since GPT-5.5, and 5.4 if told so, at up to 30,000 patches of 1.2 tokens each.
var wholePictures = regexp.MustCompile(`^gpt-(5\.[4-9]|[6-9]|[1-9][0-9])`)

const perWholeImage = 36_000

// byLength is the simulator's way to count, four bytes a token.
func byLength(texts []string) int64 { return (length(texts) + 3) / 4 }

func length(texts []string) int64 {
	var n int64
	for _, t := range texts {
		n += int64(len(t))
	}
	return n
}

// The two encodings in use, loaded when first needed: some 20 ms and 7 MB.
var (
	o200k  = sync.OnceValues(func() (tokenizer.Codec, error) { return tokenizer.Get(tokenizer.O200kBase) })
	cl100k = sync.OnceValues(func() (tokenizer.Codec, error) { return tokenizer.Get(tokenizer.Cl100kBase) })
)

// counter counts tokens. It remembers the counts of words: a text of known words
// takes a tenth of the tokenizer's time or less.
type counter struct {
	load  func() (tokenizer.Codec, error)
	exact bool // the model's own tokenizer is known
	finer bool // its tokens are smaller than others', see fine

	mu    sync.RWMutex
	words map[string]uint8
}

// What a counter remembers, so that it stays below some 8 MB.
const (
	mostWords   = 1 << 16
	longestWord = 32
)

func newCounter(upstream string) *counter {
	name := bare(upstream)
	c := &counter{load: o200k, words: make(map[string]uint8), finer: fine.MatchString(name)}
	for _, prefix := range []string{"gpt-4o", "gpt-4.1", "gpt-4.5", "gpt-5", "chatgpt-4o", "o1", "o3", "o4"} {
		if strings.HasPrefix(name, prefix) {
			c.exact = true
			return c
		}
	}
	for _, prefix := range []string{"gpt-4", "gpt-3.5", "text-embedding-"} {
		if strings.HasPrefix(name, prefix) {
			c.exact, c.load = true, cl100k
		}
	}
	return c
}

// fine finds the models that cut words smaller than any other: Claude since 4.7.
// By Anthropic's own counts, as others published them and as ctok 1.3 reconstructs
// them, English prose has 1.4 times the tokens of OpenAI's, German up to 2.5 times, and
// text in capitals up to 4 times.
var fine = regexp.MustCompile(`^claude-(opus-4[.-][7-9]|(opus|sonnet|haiku|fable|mythos)-[5-9])`)

// countedAtLeast is how many tokens are counted one by one even if fewer fit a
// model, so that what is reported of a long document is true.
const countedAtLeast = 256 << 10

// bounds are the number of tokens of the texts if the tokenizer is the
// model's, and the most there can be if it is not. Beyond enough they are
// estimates.
func (c *counter) bounds(texts []string, enough int64) (likely, most int64) {
	codec, err := c.load()
	if err != nil { // cannot happen: the vocabularies are compiled in
		return length(texts), length(texts)
	}
	for _, t := range texts {
		likely += c.countTo(codec, t, enough)
	}
	if c.exact {
		return likely, likely + likely/32
	}
	if c.finer {
		return likely + 2*likely/5, min(3*likely+wide(texts)+capitals(texts)/2, length(texts))
	}
	return likely, min(2*likely+wide(texts), length(texts))
}

// wide counts the bytes of all characters beyond ASCII.
func wide(texts []string) int64 {
	var n int64
	for _, t := range texts {
		for i := range len(t) {
			n += int64(t[i] >> 7)
		}
	}
	return n
}

// capitals counts the capital letters of ASCII.
func capitals(texts []string) int64 {
	var n int64
	for _, t := range texts {
		for i := range len(t) {
			if t[i] >= 'A' && t[i] <= 'Z' {
				n++
			}
		}
	}
	return n
}

// block is how much text is counted at once.
const block = 256 << 10

// countTo counts a text block by block until there are enough tokens.
func (c *counter) countTo(codec tokenizer.Codec, text string, enough int64) int64 {
	var n int64
	for rest := text; rest != ""; {
		if n > enough {
			done := len(text) - len(rest)
			return n + int64(float64(n)*float64(len(rest))/float64(done)) + 1
		}
		size, clean := cut(rest)
		if n += c.count(codec, rest[:size]); !clean {
			n += seam
		}
		rest = rest[size:]
	}
	return n
}

// seam is the most tokens that a cut in the middle of a word may have hidden:
// a few at its end may have been part of longer ones at its beginning.
const seam = 4

// cut is how much of a text is its next block. A clean cut is one that no
// token crosses, see count.
func cut(text string) (size int, clean bool) {
	if len(text) <= block {
		return len(text), true
	}
	for i := block; i > block/2; i-- {
		if apart(text, i) {
			return i, true
		}
	}
	size = block
	for size > block-utf8.UTFMax && !utf8.RuneStart(text[size]) {
		size--
	}
	return size, false
}

// apart reports whether a space stands alone at i.
func apart(text string, i int) bool {
	return text[i] == ' ' && text[i-1] > ' ' && text[i-1] < 0x7f && text[i+1] > ' '
}

// count splits the text before every space that follows and precedes another
// character. No token of these encodings crosses such a place, so the sum of
// the counts is the count of the whole.
func (c *counter) count(codec tokenizer.Codec, text string) int64 {
	var n int64
	var missed []string
	c.mu.RLock()
	for text != "" {
		var word string
		word, text = nextWord(text)
		if known, ok := c.words[word]; ok {
			n += int64(known)
		} else {
			missed = append(missed, word)
		}
	}
	c.mu.RUnlock()
	if len(missed) > 0 {
		n += c.learn(codec, missed)
	}
	return n
}

func (c *counter) learn(codec tokenizer.Codec, words []string) int64 {
	counts := make([]int, len(words))
	var n int64
	for i, word := range words {
		k, err := codec.Count(word)
		if err != nil {
			k = len(word)
		}
		counts[i] = k
		n += int64(k)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, word := range words {
		if len(word) <= longestWord && len(c.words) < mostWords {
			c.words[strings.Clone(word)] = uint8(counts[i]) // at most one token a byte
		}
	}
	return n
}

// nextWord cuts a text before its first space that stands alone.
func nextWord(text string) (word, rest string) {
	for i := 1; i < len(text)-1; i++ {
		if apart(text, i) {
			return text[:i], text[i:]
		}
	}
	return text, ""
}
