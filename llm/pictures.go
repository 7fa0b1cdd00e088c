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

// enclosed is what a request carries beside its text.
type enclosed struct {
	images int64
	whole  int64 // of the images, those without a bound on their detail
	files  int64 // such as a PDF
	bytes  int64 // of the files
}

// readyText is what of a ready request's body is to be read as text, and what it
// carries besides: the images and files that are in it, of whose base64 no model
// reads a letter.
func readyText(req *jobs.Request) (text string, e enclosed) {
	text = string(req.Body)
	n := int64(0)
	for _, name := range pictureNames {
		n += int64(bytes.Count(req.Body, []byte(name)))
	}
	if n == 0 && !bytes.Contains(req.Body, []byte(`file"`)) {
		return text, e
	}
	p := readyParts{body: text}
	root := gjson.Parse(text)
	for _, list := range []string{"messages", "input"} {
		if messages := root.Get(list); messages.IsArray() {
			messages.ForEach(func(_, m gjson.Result) bool {
				p.look(m.Get("content"))
				p.look(m.Get("output")) // of a tool
				return true
			})
		}
	}
	others := max(0, n-2*p.images)
	p.images, p.whole = p.images+others, p.whole+others
	return p.rest.String() + text[p.at:], p.enclosed
}

// readyParts goes through the parts of a body from its beginning to its end.
type readyParts struct {
	enclosed
	body string
	at   int             // how far the body was taken over
	rest strings.Builder // what was
}

func (p *readyParts) look(content gjson.Result) {
	if !content.IsArray() {
		return
	}
	content.ForEach(func(_, part gjson.Result) bool {
		switch part.Get("type").Str {
		case "image_url", "input_image":
			p.images++
			url, detail := part.Get("image_url"), part.Get("detail")
			if url.IsObject() {
				url, detail = url.Get("url"), url.Get("detail")
			}
			if detail.Str != "low" && detail.Str != "high" {
				p.whole++
			}
			if strings.HasPrefix(url.Str, "data:image/") { // an address stays
				p.leaveOut(url)
			}
		case "file", "input_file":
			data := part.Get("file_data")
			if inside := part.Get("file"); inside.IsObject() {
				data = inside.Get("file_data")
			}
			p.files++
			p.bytes += int64(len(data.Str)) * 3 / 4
			p.leaveOut(data)
		}
		return true
	})
}

// leaveOut leaves out an image or a file if it is there.
func (p *readyParts) leaveOut(data gjson.Result) {
	if data.Type == gjson.String && data.Index >= p.at && strings.HasPrefix(p.body[data.Index:], data.Raw) {
		p.rest.WriteString(p.body[p.at:data.Index])
		p.at = data.Index + len(data.Raw)
	}
}
