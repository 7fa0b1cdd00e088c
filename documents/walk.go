package documents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// walk is one reading of a list of paths.
type walk struct {
	config *Config
	ctx    context.Context
	yield  func(Item, *Problem) bool
	ids    *register
	root   string // deepest folder that holds every path
	except []fs.FileInfo
	ahead  *ahead

	handing bool // a document is being handed to whoever reads
}

// run reads the paths in the order given.
func (w *walk) run(paths []string) {
	defer w.ahead.close()
	var found []target
	var places []string
	for _, path := range paths {
		targets, problem := expand(path)
		if problem != nil && !w.yield(Item{}, problem) {
			return
		}
		for _, t := range targets {
			found, places = append(found, t), append(places, t.path)
		}
	}
	w.root = commonRoot(places)
	for _, path := range w.config.Except {
		if info, err := os.Stat(path); err == nil {
			w.except = append(w.except, info)
		}
	}
	for _, t := range found {
		if !w.target(t) {
			return
		}
	}
	w.ahead.all()
}

// target is a path to read, or the folder in which a pattern begins.
type target struct {
	path    string
	pattern *pattern
}

func (w *walk) target(t target) bool {
	if t.pattern != nil {
		return w.matches(t.pattern)
	}
	return w.path(t.path)
}

// expand resolves a glob pattern; a path that exists stands for itself even
// if it looks like one.
func expand(path string) ([]target, *Problem) {
	if path == "-" {
		return []target{{path: path}}, nil
	}
	_, err := os.Lstat(path)
	if err == nil {
		return []target{{path: filepath.Clean(path)}}, nil
	}
	if !strings.ContainsAny(path, "*?[") {
		return nil, unreadable(path, err)
	}
	if strings.Contains(unescape.Replace(path), anyDepth) {
		p, problem := newPattern(path)
		if problem != nil {
			return nil, problem
		}
		return []target{{p.base, p}}, nil
	}
	matches, err := filepath.Glob(path)
	if err != nil {
		return nil, invalid(path)
	}
	if len(matches) == 0 {
		return nil, unmatched(path)
	}
	var found []target
	for _, m := range matches {
		found = append(found, target{path: m})
	}
	return found, nil
}

// commonRoot is the deepest folder that holds all paths, so that custom ids
// depend neither on where the command runs nor on how a path is spelled.
func commonRoot(paths []string) string {
	root := ""
	for _, path := range paths {
		if path == "-" {
			continue
		}
		dir, err := filepath.Abs(path)
		if err != nil {
			continue
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			dir = filepath.Dir(dir)
		}
		if root == "" {
			root = dir
		}
		for !within(dir, root) {
			root = filepath.Dir(root)
		}
	}
	return root
}

func within(dir, root string) bool {
	rel, err := filepath.Rel(root, dir)
	return err != nil || rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// id is the custom id of a file: its path below the root, with slashes.
func (w *walk) id(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return spelled(filepath.ToSlash(path))
	}
	rel, err := filepath.Rel(w.root, abs)
	if err != nil {
		return spelled(filepath.ToSlash(abs))
	}
	return spelled(filepath.ToSlash(rel))
}

// spelled is a name as text: bytes that are no UTF-8, which JSON could not tell
// apart, are spelled out as in caf\xe9.txt.
func spelled(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	var b strings.Builder
	for i, r := range name {
		if _, n := utf8.DecodeRuneInString(name[i:]); r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, `\x%02x`, name[i])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// path reads what the user named.
func (w *walk) path(path string) bool {
	if path == "-" {
		return w.ahead.all() && read(newSource(w, "stdin", "stdin", 0, w.config.Stdin))
	}
	info, err := os.Stat(path)
	if err != nil {
		return w.report(unreadable(path, err))
	}
	if w.passedOver(info) {
		return true
	}
	if !info.IsDir() {
		return w.file(path)
	}
	empty := true
	more := w.folder(path, &empty)
	if more && empty {
		return w.report(&Problem{path, "holds no files", "name a folder with documents in it"})
	}
	return more
}

// passedOver reports whether a file or folder is not to be read.
func (w *walk) passedOver(info fs.FileInfo) bool {
	return slices.ContainsFunc(w.except, func(other fs.FileInfo) bool { return os.SameFile(info, other) })
}

// folder reads a folder and those in it, in the order of names.
func (w *walk) folder(dir string, empty *bool) bool {
	return w.list(dir, visible, empty, func(path string, e fs.DirEntry) bool { return w.entry(path, e, empty) })
}

// list calls read for the entries of a folder whose names are wanted, in order,
// for as long as it returns true.
func (w *walk) list(dir string, wanted func(name string) bool, empty *bool, read func(path string, e fs.DirEntry) bool) bool {
	if info, err := os.Stat(dir); err == nil && w.passedOver(info) {
		return true
	}
	after := ""
	for {
		entries, err := page(dir, after, folderPage, wanted)
		if err != nil {
			*empty = false
			return w.report(unreadable(dir, err))
		}
		for _, e := range entries {
			if w.ctx.Err() != nil || !read(filepath.Join(dir, e.Name()), e) {
				return false
			}
		}
		if len(entries) < folderPage {
			return true
		}
		after = entries[len(entries)-1].Name()
	}
}

func (w *walk) entry(path string, e fs.DirEntry, empty *bool) bool {
	if e.IsDir() {
		return w.folder(path, empty)
	}
	*empty = false
	info, err := os.Stat(path) // through a symbolic link
	switch {
	case err != nil:
		return w.report(unreadable(path, err))
	case info.IsDir():
		return w.report(linked(path))
	case !info.Mode().IsRegular():
		return w.report(&Problem{path, "is not a regular file", "leave it out"})
	}
	return w.file(path)
}

func linked(path string) *Problem {
	return &Problem{path, "is a link to a folder, which is not followed", "name the folder itself"}
}

func dotted(name string) bool  { return strings.HasPrefix(name, ".") }
func visible(name string) bool { return !dotted(name) }

func (w *walk) file(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return w.report(unreadable(path, err))
	}
	done := func() { _ = f.Close() }
	size := int64(0)
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		if size = info.Size(); w.passedOver(info) {
			done()
			return true
		}
	}
	s := newSource(w, w.id(path), filepath.ToSlash(path), size, f)
	if size > 0 {
		s.file = f
	}
	return w.inTurn(s, done)
}

// folderPage is how many names of a folder are held at once. A larger folder
// is listed once per page, so that a million files cost no more memory than
// these.
const folderPage = 32 << 10

// page returns the first limit entries of a folder after a name, in order, of
// those that are wanted.
func page(dir, after string, limit int, wanted func(name string) bool) ([]fs.DirEntry, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var found []fs.DirEntry
	for {
		some, err := f.ReadDir(4096)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		for _, e := range some {
			if e.Name() > after && wanted(e.Name()) {
				found = append(found, e)
			}
		}
		if last := len(some) == 0; last || len(found) > 2*limit {
			slices.SortFunc(found, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
			found = found[:min(len(found), limit)]
			if last {
				return found, nil
			}
		}
	}
}
