package documents

import (
	"errors"
	"fmt"
	"io/fs"
)

// Problem is a piece of input that cannot be used. It is an error of one line
// that is safe to show on a terminal.
type Problem struct {
	Source string // contracts/a.txt, or requests.jsonl:12
	Reason string // what is wrong
	Fix    string // what to do about it
}

func (p *Problem) Error() string {
	s := p.Source + ": " + p.Reason
	if p.Fix != "" {
		s += "; " + p.Fix
	}
	return Line(s)
}

// unreadable is the problem of a file that cannot be opened or read.
func unreadable(name string, err error) *Problem {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &Problem{name, "does not exist", "check the spelling"}
	case errors.Is(err, fs.ErrPermission):
		return &Problem{name, "may not be read", "check its permissions"}
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return &Problem{name, fmt.Sprintf("cannot be read: %v", err), "check the file and its disk"}
}

// place is a line of a source.
func place(source string, line int) string {
	if line == 0 {
		return source
	}
	return fmt.Sprintf("%s:%d", source, line)
}
