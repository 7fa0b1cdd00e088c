package documents

import (
	"strings"
	"unicode/utf16"

	library "github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
)

// lineHyphen is what PDFium makes of the hyphen of a word divided at the end of
// a line.
const lineHyphen = "\ufffe"

// pageRuns finds the runs of a page. What it costs is calls into the sandbox,
// nearly a microsecond each: so it asks how many runs there are among letters,
// rather than for each letter where it stands.
//
// A run has the letters that are its own. To take those that stand where it
// does, as PDFium offers, doubles every letter that leans over to a neighbour.
type pageRuns struct {
	instance library.Pdfium
	page     references.FPDF_TEXTPAGE
	letters  int
	starts   []int // of runs, in letters
}

func runsOf(instance library.Pdfium, page requests.Page) ([]run, error) {
	loaded, err := instance.FPDFText_LoadPage(&requests.FPDFText_LoadPage{Page: page})
	if err != nil {
		return nil, err
	}
	p := &pageRuns{instance: instance, page: loaded.TextPage}
	defer func() { _, _ = instance.FPDFText_ClosePage(&requests.FPDFText_ClosePage{TextPage: p.page}) }()
	has, err := instance.FPDFText_CountChars(&requests.FPDFText_CountChars{TextPage: p.page})
	if err != nil || has.Count <= 0 {
		return nil, err
	}
	p.letters = has.Count
	text, err := p.text(0, p.letters)
	if err != nil {
		return nil, err
	}
	units := utf16.Encode([]rune(text))
	if len(units) != p.letters { // some letters are nothing in Unicode
		units = nil
	}
	n, err := p.find(units)
	if err != nil {
		return nil, err
	}
	runs := make([]run, 0, n)
	for i, from := range p.starts {
		to := p.letters
		if i+1 < n {
			to = p.starts[i+1]
		}
		if units != nil {
			text = string(utf16.Decode(units[from:to]))
		} else if text, err = p.text(from, to); err != nil {
			return nil, err
		}
		at, err := instance.FPDFText_GetRect(&requests.FPDFText_GetRect{TextPage: p.page, Index: i})
		if err != nil {
			return nil, err
		}
		text = strings.ReplaceAll(strings.TrimRight(text, "\r\n"), lineHyphen, "-")
		runs = append(runs, run{text, at.Left, at.Right, at.Top, at.Bottom})
	}
	return runs, nil
}

// text is what some letters say.
func (p *pageRuns) text(from, to int) (string, error) {
	said, err := p.instance.FPDFText_GetText(&requests.FPDFText_GetText{TextPage: p.page, StartIndex: from, Count: to - from})
	if err != nil {
		return "", err
	}
	return said.Text, nil
}

// count is how many runs there are among some letters, of which the first and
// the last may be parts of larger ones.
func (p *pageRuns) count(from, to int) (int, error) {
	among, err := p.instance.FPDFText_CountRects(&requests.FPDFText_CountRects{TextPage: p.page, StartIndex: from, Count: to - from})
	if err != nil {
		return 0, err
	}
	return among.Count, nil
}

// find finds where the runs begin, line by line, since most end with one. If
// one does not, what is found are too many. The text is nil if letters cannot
// be told by it.
func (p *pageRuns) find(text []uint16) (n int, err error) {
	from := 0
	for i, c := range text {
		if c == '\n' || i == len(text)-1 {
			if err := p.divide(from, i+1); err != nil {
				return 0, err
			}
			from = i + 1
		}
	}
	n, err = p.count(0, p.letters) // last, since its are the places that the runs have
	if err != nil || n == len(p.starts) {
		return n, err
	}
	p.starts = p.starts[:0]
	if err := p.divide(0, p.letters); err != nil {
		return 0, err
	}
	return p.count(0, p.letters)
}

// divide finds where the runs among some letters begin.
func (p *pageRuns) divide(from, to int) error {
	n, err := p.count(from, to)
	for ; n > 0 && err == nil; n-- {
		p.starts = append(p.starts, from)
		if n > 1 {
			from, err = p.end(from, to)
		}
	}
	return err
}

// end is where the first of several runs ends.
func (p *pageRuns) end(from, to int) (int, error) {
	within, beyond := from+1, to
	for step := 8; within < beyond-1; step *= 2 {
		at := (within + beyond) / 2
		if beyond == to { // still looking for a place beyond it
			at = min(at, from+step)
		}
		n, err := p.count(from, at)
		if err != nil {
			return 0, err
		}
		if n > 1 {
			beyond = at
		} else {
			within = at
		}
	}
	return within, nil
}
