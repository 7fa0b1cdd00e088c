package llm

import (
	"bytes"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/drover-batch/drover/jobs"
)

// pictureNames are how a part of a message says that it is a picture. In a
// ready body each part has two of them: its type, and the member with the
// picture.
var pictureNames = []string{`"image_url"`, `"input_image"`}

// readyPictures are how many images a ready request has, how many of them it does
// not want looked at less closely than they are, and what of its body is to be
// read as text: all but the images that it carries in itself, which are looked at,
// and of whose base64 no model reads a letter.
func readyPictures(req *jobs.Request) (n, whole int64, text string) {
	text = string(req.Body)
	for _, name := range pictureNames {
		n += int64(bytes.Count(req.Body, []byte(name)))
	}
	if n == 0 {
		return 0, 0, text
	}
	p := picturesOf{body: text}
	root := gjson.Parse(text)
	for _, list := range []string{"messages", "input"} {
		if messages := root.Get(list); messages.IsArray() {
			messages.ForEach(func(_, m gjson.Result) bool {
				p.parts(m.Get("content"))
				p.parts(m.Get("output")) // of a tool
				return true
			})
		}
	}
	others := max(0, n-2*p.n)
	return p.n + others, p.whole + others, p.rest.String() + text[p.at:]
}

// picturesOf goes through a body from its beginning to its end.
type picturesOf struct {
	body  string
	n     int64           // found so far
	whole int64           // of them, those without a bound on their detail
	at    int             // how far the body was taken over
	rest  strings.Builder // what was
}

func (p *picturesOf) parts(content gjson.Result) {
	if !content.IsArray() {
		return
	}
	content.ForEach(func(_, part gjson.Result) bool {
		switch part.Get("type").Str {
		case "image_url", "input_image":
			p.n++
			url, detail := part.Get("image_url"), part.Get("detail")
			if url.IsObject() {
				url, detail = url.Get("url"), url.Get("detail")
			}
			if detail.Str != "low" && detail.Str != "high" {
				p.whole++
			}
			p.leaveOut(url)
		}
		return true
	})
}

// leaveOut leaves out an image if it is there. An address stays.
func (p *picturesOf) leaveOut(url gjson.Result) {
	if strings.HasPrefix(url.Str, "data:image/") && url.Index >= p.at && strings.HasPrefix(p.body[url.Index:], url.Raw) {
		p.rest.WriteString(p.body[p.at:url.Index])
		p.at = url.Index + len(url.Raw)
	}
}
