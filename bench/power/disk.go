package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// programs looks for everything that is needed and not built here, and returns
// where redis-server is.
func programs() (redis string, err error) {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		return "", fmt.Errorf("%w: mounting file systems takes Linux and root", errSkipped)
	}
	for _, name := range []string{"mkfs.xfs", "xfs_io", "mount", "umount"} {
		if _, err := exec.LookPath(name); err != nil {
			return "", fmt.Errorf("%w: there is no %s on the PATH; install xfsprogs", errSkipped, name)
		}
	}
	name := os.Getenv("REDIS_SERVER")
	if name == "" {
		name = "redis-server"
	}
	redis, err = exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: there is no %s on the PATH; install it, or name it in $REDIS_SERVER", errSkipped, name)
	}
	return redis, nil
}

// disk is a file system of its own, mounted at dir.
type disk struct {
	dir   string
	image string // of an XFS; "" for memory
}

// newXFS makes a file system in a file beside dir and mounts it.
func newXFS(dir string) (*disk, error) {
	d := &disk{dir: dir, image: dir + ".img"}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.Create(d.image)
	if err != nil {
		return nil, err
	}
	const size = 2 << 30 // of which the file takes what is written
	if err := f.Truncate(size); err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	if err := command("mkfs.xfs", "-q", d.image); err != nil {
		return nil, err
	}
	return d, d.mount()
}

// newMemory mounts a file system of so many MiB.
func newMemory(dir string, size int) (*disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &disk{dir: dir}, command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", size), "tmpfs", dir)
}

func (d *disk) mount() error { return command("mount", "-o", "loop", d.image, d.dir) }

// cut loses everything that has not been synced: not even the file system's
// own journal is written any more. Whatever is read or written from now on
// fails.
func (d *disk) cut() error { return command("xfs_io", "-x", "-c", "shutdown", d.dir) }

// fill takes all the room there is with one file, to be removed.
func (d *disk) fill() (file string, err error) {
	f, err := os.Create(d.path("ballast"))
	if err != nil {
		return "", err
	}
	for size := 1 << 20; size > 0; {
		if _, err = f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2 // to the last byte
		} else if err != nil {
			break
		}
	}
	if errors.Is(err, syscall.ENOSPC) {
		err = nil
	}
	return f.Name(), errors.Join(err, f.Close())
}

// umount succeeds once nobody has a file open any more.
func (d *disk) umount() error { return command("umount", d.dir) }

// free ends the file system and takes its file away.
func (d *disk) free() error {
	err := d.umount()
	if d.image != "" {
		_ = os.Remove(d.image)
	}
	return err
}

func (d *disk) path(name string) string { return filepath.Join(d.dir, name) }

// command runs a program whose output matters only if it fails.
func command(name string, args ...string) error {
	out, err := exec.CommandContext(context.Background(), name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
