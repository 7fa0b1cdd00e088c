package documents

import (
	"bytes"
	"image"
	_ "image/gif"  // DecodeConfig knows them
	_ "image/jpeg" // by these
	_ "image/png"

	"github.com/drover-batch/drover/jobs"
)

// readImage reads a picture as one document, for models that see. It goes to
// them as it is.
func readImage(s *source) bool {
	data, more := s.whole()
	if data == nil {
		return more
	}
	kind := imageType(data)
	if kind == "" {
		return s.problem(0, "is called an image and is none", "give it the name of what it is, or leave it out")
	}
	if broken(kind, data) {
		return s.problem(0, "is a broken image", "save it anew or leave it out")
	}
	return s.document("", 0, jobs.Document{Type: kind, Body: data})
}

func looksLikeImage(head []byte) bool { return imageType(head) != "" }

// imageType is the media type of an image that models take, else nothing.
func imageType(b []byte) string {
	switch {
	case begins("\x89PNG\r\n\x1a\n")(b):
		return "image/png"
	case begins("\xff\xd8\xff")(b):
		return "image/jpeg"
	case begins("GIF87a", "GIF89a")(b):
		return "image/gif"
	case begins("RIFF")(b) && len(b) >= 12 && string(b[8:12]) == "WEBP":
		return "image/webp"
	}
	return ""
}

// broken looks at an image's head and at whether its end is there. It does not
// unpack it.
func broken(kind string, b []byte) bool {
	if kind == "image/webp" {
		size := int64(b[4]) | int64(b[5])<<8 | int64(b[6])<<16 | int64(b[7])<<24
		return size+8 > int64(len(b))
	}
	c, _, err := image.DecodeConfig(bytes.NewReader(b))
	if err != nil || c.Width <= 0 || c.Height <= 0 {
		return true
	}
	end := map[string]string{"image/png": "IEND", "image/jpeg": "\xff\xd9", "image/gif": "\x3b"}[kind]
	return !bytes.Contains(b[len(b)/2:], []byte(end))
}
