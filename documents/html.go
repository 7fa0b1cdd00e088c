package documents

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/JohannesKaufmann/html-to-markdown/v2/converter"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/base"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/commonmark"
	tables "github.com/JohannesKaufmann/html-to-markdown/v2/plugin/table"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
	"golang.org/x/net/html/charset"

	"github.com/drover-batch/drover/jobs"
)

// readHTML reads a page as one document: its main content as Markdown.
func readHTML(s *source) bool {
	page, more := s.whole()
	if page == nil {
		return more
	}
	if utf16Of(page) == nil && bytes.IndexByte(page, 0) >= 0 {
		return s.binary(page)
	}
	text, err := markdown(page)
	if err != nil {
		return s.problem(0, fmt.Sprintf("is a page that cannot be read: %v", err), "save it as text")
	}
	if text == nil {
		return s.problem(0, "is a page without text", "save it from a browser, after its scripts have run")
	}
	return s.document("", 0, jobs.Document{Body: text})
}

// markdown converts the main content of a page; nil if it has none. The converter meets pages
// nobody has seen before: its panic is the page's problem, not the run's.
func markdown(page []byte) (text []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	root, err := html.Parse(utf8Page(page))
	if err != nil {
		return nil, err
	}
	title := titleOf(root)
	main := mainOf(root)
	prune(main, main.DataAtom == atom.Body || main.Type == html.DocumentNode)
	tame(main, 0)
	text, err = newConverter().ConvertNode(main)
	if text = bytes.TrimSpace(text); err != nil || len(text) == 0 {
		return nil, err
	}
	text = []byte(angled.Replace(string(text)))
	if title != "" && find(main, func(n *html.Node) bool { return n.DataAtom == atom.H1 }) == nil {
		text = append([]byte("# "+title+"\n\n"), text...)
	}
	return append(bytes.ToValidUTF8(text, []byte("\uFFFD")), '\n'), nil
}

// angled undoes the one escape that the converter always makes.
var angled = strings.NewReplacer("&lt;", "<", "&gt;", ">")

// utf8Page decodes a page as a browser would: mark, declaration, guess. The
// guess is about all of it: many a page has nothing but ASCII in its head.
func utf8Page(page []byte) io.Reader {
	if enc := utf16Of(page); enc != nil {
		return enc.NewDecoder().Reader(bytes.NewReader(page))
	}
	enc, name, _ := charset.DetermineEncoding(page, "") // of its first kilobyte
	if name == "windows-1252" {
		return bytes.NewReader(repair(page))
	}
	return enc.NewDecoder().Reader(bytes.NewReader(page))
}

// newConverter escapes nothing: a model reads "3 * 4 [sic]" as it stands, and
// quotes must be found in it again. (The converter's escaping also takes time
// that is quadratic in the number of open brackets.) Nor does it pad cells: one
// long text would do so to all others in its column.
func newConverter() *converter.Converter {
	return converter.NewConverter(converter.WithEscapeMode(converter.EscapeModeDisabled), converter.WithPlugins(
		base.NewBasePlugin(), commonmark.NewCommonmarkPlugin(), tables.NewTablePlugin(tables.WithCellPaddingBehavior(tables.CellPaddingBehaviorMinimal))))
}

// mainOf is where the content is: the main element, an only article, the body.
func mainOf(root *html.Node) *html.Node {
	main := find(root, func(n *html.Node) bool { return n.DataAtom == atom.Main || attribute(n, "role") == "main" })
	if main != nil && hasText(main) {
		return main
	}
	isArticle := func(n *html.Node) bool { return n.DataAtom == atom.Article }
	if article := find(root, isArticle); article != nil && hasText(article) {
		others := 0
		each(root, func(n *html.Node) bool {
			if isArticle(n) {
				others++
			}
			return !isArticle(n)
		})
		if others == 1 {
			return article
		}
	}
	if body := find(root, func(n *html.Node) bool { return n.DataAtom == atom.Body }); body != nil {
		return body
	}
	return root
}

// prune removes what is not content. The header and footer of a whole page go
// too; those of an article hold its title and its notes.
func prune(n *html.Node, whole bool) {
	for c := n.FirstChild; c != nil; {
		next := c.NextSibling
		if c.Type == html.ElementNode && noise(c, whole) {
			n.RemoveChild(c)
		} else {
			inside := c.DataAtom == atom.Article || c.DataAtom == atom.Section || c.DataAtom == atom.Main
			prune(c, whole && !inside)
		}
		c = next
	}
}

func noise(n *html.Node, whole bool) bool {
	switch n.DataAtom {
	case atom.Script, atom.Style, atom.Noscript, atom.Template, atom.Nav, atom.Aside, atom.Iframe,
		atom.Svg, atom.Canvas, atom.Button, atom.Select, atom.Dialog, atom.Object, atom.Embed:
		return true
	case atom.Header, atom.Footer:
		return whole
	}
	switch attribute(n, "role") { // of pages made of nothing but div
	case "navigation", "complementary", "search":
		return true
	case "banner", "contentinfo":
		return whole
	}
	if has(n, "hidden") || attribute(n, "aria-hidden") == "true" {
		return true
	}
	style := strings.ReplaceAll(strings.ToLower(attribute(n, "style")), " ", "")
	return strings.Contains(style, "display:none")
}

func titleOf(root *html.Node) string {
	t := find(root, func(n *html.Node) bool { return n.DataAtom == atom.Title })
	if t == nil || t.FirstChild == nil {
		return ""
	}
	return strings.Join(strings.Fields(t.FirstChild.Data), " ")
}

func hasText(n *html.Node) bool {
	return find(n, func(n *html.Node) bool {
		return n.Type == html.TextNode && strings.TrimSpace(n.Data) != "" &&
			n.Parent.DataAtom != atom.Script && n.Parent.DataAtom != atom.Style
	}) != nil
}

// each visits the nodes below n in order; visit says whether to go deeper.
func each(n *html.Node, visit func(*html.Node) bool) {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if visit(c) {
			each(c, visit)
		}
	}
}

func find(n *html.Node, is func(*html.Node) bool) *html.Node {
	for d := range n.Descendants() {
		if is(d) {
			return d
		}
	}
	return nil
}

func has(n *html.Node, name string) bool {
	for _, a := range n.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
