package documents

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// anyDepth is the name in a pattern that stands for any number of folders,
// none included.
const anyDepth = "**"

// pattern is a path with ** in it. Its matches are read while the folders are
// walked, and never held.
type pattern struct {
	text  string
	base  string   // the folder it begins in
	names []string // what they are called that it leads to from there
}

// newPattern takes apart a path with ** in it.
func newPattern(text string) (*pattern, *Problem) {
	const separator = string(filepath.Separator)
	p := &pattern{text: text, base: "."}
	names := strings.Split(filepath.FromSlash(text), separator)
	fixed := slices.IndexFunc(names, func(name string) bool { return strings.ContainsAny(name, `*?[\`) })
	if fixed > 0 {
		p.base = filepath.Clean(strings.Join(names[:fixed], separator) + separator)
	}
	p.names = slices.DeleteFunc(names[fixed:], func(name string) bool { return name == "" || name == "." })
	for _, name := range p.names {
		if name != anyDepth && strings.Contains(unescape.Replace(name), anyDepth) {
			return nil, &Problem{text, "has ** as a part of a name", "put it between slashes: ** stands for folders, as in contracts/**/*.md"}
		}
		if _, err := filepath.Match(name, ""); err != nil {
			return nil, invalid(text)
		}
	}
	info, err := os.Stat(p.base)
	switch {
	case err != nil:
		return nil, unreadable(p.base, err)
	case !info.IsDir():
		return nil, unmatched(text)
	}
	return p, nil
}

// unescape puts letters for what stands for itself.
var unescape = strings.NewReplacer(`\\`, "x", `\*`, "x")

func invalid(text string) *Problem {
	return &Problem{text, "is not a valid pattern", "close its brackets, or put \\ before them"}
}

func unmatched(text string) *Problem {
	return &Problem{text, "matches no file", "check the spelling"}
}

// places are how far along its names a pattern may be.
type places []int

// add adds a place, and those that ** leads on to without any folder.
func (p *pattern) add(at places, i int) places {
	for ; ; i++ {
		if !slices.Contains(at, i) {
			at = append(at, i)
		}
		if i == len(p.names) || p.names[i] != anyDepth {
			return at
		}
	}
}

// step is where the pattern may be behind a name; nowhere if it does not match.
func (p *pattern) step(at places, name string) (next places) {
	for _, i := range at {
		switch {
		case i == len(p.names):
		case p.names[i] == anyDepth && !dotted(name):
			next = p.add(next, i)
		case agrees(p.names[i], name):
			next = p.add(next, i+1)
		}
	}
	return next
}

// agrees reports whether a name is what a pattern of one says. Hidden ones
// have to be meant.
func agrees(pattern, name string) bool {
	if dotted(name) && !dotted(pattern) {
		return false
	}
	ok, _ := filepath.Match(pattern, name) // its syntax has been checked
	return ok
}

// matches reads the files that a pattern leads to, in the order of a folder's.
func (w *walk) matches(p *pattern) bool {
	empty := true
	more := w.below(p.base, p, p.add(nil, 0), &empty)
	if more && empty {
		return w.report(unmatched(p.text))
	}
	return more
}

// below reads what matches in a folder. As with other patterns, a folder that
// matches is read with all that is in it.
func (w *walk) below(dir string, p *pattern, at places, empty *bool) bool {
	fits := func(name string) bool { return len(p.step(at, name)) > 0 }
	return w.list(dir, fits, empty, func(path string, e fs.DirEntry) bool {
		next := p.step(at, e.Name())
		switch {
		case slices.Contains(next, len(p.names)):
			return w.entry(path, e, empty)
		case e.IsDir():
			return w.below(path, p, next, empty)
		case e.Type()&fs.ModeSymlink != 0 && isFolder(path):
			*empty = false
			return w.report(linked(path))
		}
		return true
	})
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
