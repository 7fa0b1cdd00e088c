package process

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Main runs a program of that name until it ends, or a signal ends its
// context. An error is told and makes the process exit with 1; having asked for
// help is none.
func Main(name string, run func(ctx context.Context, args []string, out, notes io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		_, _ = fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// Folder makes a folder for the data and logs of the program of that name.
// What it returns removes it again, unless the folder is to be kept, which is
// told.
func Folder(name string, keep bool, notes io.Writer) (dir string, remove func() error, err error) {
	dir, err = os.MkdirTemp("", "drover-"+name+"-")
	if err != nil {
		return "", nil, fmt.Errorf("making a folder for the data: %w", err)
	}
	if keep {
		_, _ = fmt.Fprintln(notes, "data and logs are in", dir)
		return dir, func() error { return nil }, nil
	}
	return dir, func() error { return os.RemoveAll(dir) }, nil
}
