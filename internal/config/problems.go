package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// place is where a value was written: a line of the file, an environment
// variable, a flag.
type place struct {
	name         string
	line, column int
}

func (p place) String() string {
	if p.line == 0 {
		return p.name
	}
	return fmt.Sprintf("%s:%d:%d", p.name, p.line, p.column)
}

// problem is one thing that is wrong, and where it has to be put right.
type problem struct {
	at   place
	path string
	text string
}

// report remembers where every setting was written last, and what is wrong
// with them.
type report struct {
	name     string // of the file
	places   map[string]place
	problems []problem
}

// wrong notes a problem with the setting at the path, at the place of what
// was written there or, if nothing was, around it.
func (l *report) wrong(path, format string, args ...any) {
	l.wrongAt(l.place(path), path, format, args...)
}

func (l *report) wrongAt(at place, path, format string, args ...any) {
	l.problems = append(l.problems, problem{at, path, fmt.Sprintf(format, args...)})
}

func (l *report) place(path string) place {
	for path != "" {
		if at, ok := l.places[path]; ok {
			return at
		}
		path = parent(path)
	}
	return place{name: l.name}
}

// sound reports whether nothing is wrong yet at the path or below it: what
// could not be read need not be checked as well.
func (l *report) sound(path string) bool {
	return !slices.ContainsFunc(l.problems, func(p problem) bool {
		return p.path == path || strings.HasPrefix(p.path, path+".") || strings.HasPrefix(p.path, path+"[")
	})
}

// err is all problems, one a line, in the order of the file.
func (l *report) err() error {
	slices.SortStableFunc(l.problems, func(a, b problem) int {
		if (a.at.line == 0) != (b.at.line == 0) {
			return cmp.Compare(b.at.line, a.at.line) // the file first
		}
		return cmp.Or(cmp.Compare(a.at.line, b.at.line), cmp.Compare(a.at.column, b.at.column), cmp.Compare(a.path, b.path))
	})
	var errs []error
	for _, p := range l.problems {
		errs = append(errs, fmt.Errorf("%s: %s", p.at, p.text))
	}
	return errors.Join(errs...)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}
