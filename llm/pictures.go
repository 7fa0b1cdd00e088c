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

// files are those of a ready request, a PDF perhaps.
type files struct {
	n     int64 // how many
	bytes int64 // of those that it carries in itself
	away  bool  // some live at the provider or elsewhere
}

// readyPictures are how many images a ready request has, its files, and what of
// its body is to be read as text: all but the images and files that it carries in
// itself, of whose base64 no model reads a letter.
func readyPictures(req *jobs.Request) (n int64, f files, text string) {
	text = string(req.Body)
	for _, name := range pictureNames {
		n += int64(bytes.Count(req.Body, []byte(name)))
	}
	if n == 0 && !bytes.Contains(req.Body, []byte(`file"`)) {
		return 0, f, text
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
	return p.n + max(0, n-2*p.n), p.files, p.rest.String() + text[p.at:]
}

// picturesOf goes through a body from its beginning to its end.
type picturesOf struct {
	body  string
	n     int64 // images found so far
	files files
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
			url := part.Get("image_url")
			if url.IsObject() {
				url = url.Get("url")
			}
			if strings.HasPrefix(url.Str, "data:image/") { // an address stays
				p.leaveOut(url)
			}
		case "file", "input_file":
			if inside := part.Get("file"); inside.IsObject() {
				part = inside
			}
			data := part.Get("file_data")
			p.files.n++
			p.files.bytes += int64(len(data.Str)) * 3 / 4
			p.files.away = p.files.away || data.Str == "" || part.Get("file_id").Exists() || part.Get("file_url").Exists()
			p.leaveOut(data)
		}
		return true
	})
}

// leaveOut leaves out an image or a file if it is there.
func (p *picturesOf) leaveOut(data gjson.Result) {
	if data.Type == gjson.String && data.Index >= p.at && strings.HasPrefix(p.body[data.Index:], data.Raw) {
		p.rest.WriteString(p.body[p.at:data.Index])
		p.at = data.Index + len(data.Raw)
	}
}
