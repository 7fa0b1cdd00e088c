package documents

import (
	"archive/zip"
	"encoding/xml"
	"path"
	"slices"
	"strings"
)

// wordParts are where the parts of a Word document are: document, styles,
// numbering, footnotes and endnotes. Most programs name them so, but Word on
// the web adds a number.
type wordParts map[string]string

// wordParts looks where a package says that its parts are. What it does not
// tell, or tells wrong, has the usual name.
func (p *parts) wordParts() wordParts {
	found := wordParts{}
	for _, kind := range []string{"document", "styles", "numbering", "footnotes", "endnotes"} {
		found[kind] = "word/" + kind + ".xml"
	}
	if main := p.related("")["officeDocument"]; strings.HasPrefix(main, "word/") {
		found["document"] = main
	}
	near := p.related(found["document"])
	for kind := range found {
		if at, ok := near[kind]; ok && kind != "document" {
			found[kind] = at
		}
	}
	return found
}

// related are the parts that belong to a part, or to the package itself, by the
// last word of what they are to it.
func (p *parts) related(to string) map[string]string {
	folder, name := path.Split(to)
	found := map[string]string{}
	_ = elements(p, folder+"_rels/"+name+".rels", func(e xml.StartElement) { // what cannot be read tells nothing
		target, ok := strings.CutPrefix(val(e, "Target"), "/")
		if !ok {
			target = path.Join(folder, target)
		}
		if e.Name.Local == "Relationship" && p.has(target) {
			found[path.Base(val(e, "Type"))] = target
		}
	})
	return found
}

func (p *parts) has(name string) bool {
	return slices.ContainsFunc(p.File, func(f *zip.File) bool { return f.Name == name })
}
