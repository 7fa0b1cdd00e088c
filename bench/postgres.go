package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/drover-batch/drover/bench/process"
	"github.com/drover-batch/drover/internal/ports"
)

// debianPostgres is where Debian installs it, the newest if there are several.
func debianPostgres() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err == nil && len(found) == 0 {
		err = exec.ErrNotFound
	}
	if err != nil {
		return "", err
	}
	slices.SortStableFunc(found, func(a, b string) int { return len(a) - len(b) }) // 9.6 before 15; within two digits by name
	return found[len(found)-1], nil
}

// startPostgres makes a cluster of databases in the folder and serves it. As
// PostgreSQL refuses to be root, it runs as another user then.
func (b *bench) startPostgres(ctx context.Context, dir string, sync bool) (*program, error) {
	who, err := nobody(b.dir, dir)
	if err != nil {
		return nil, err
	}
	bin, err := filepath.EvalSymlinks(b.postgres) // its other programs are beside it
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "postgres")
	initdb := exec.CommandContext(ctx, filepath.Join(filepath.Dir(bin), "initdb"),
		"-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = who, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("making a PostgreSQL database: %w: %s", err, out)
	}
	port, err := ports.Free()
	if err != nil {
		return nil, err
	}
	on := map[bool]string{true: "on", false: "off"}[sync]
	args := []string{"-D", data}
	for _, setting := range []string{
		"listen_addresses=127.0.0.1", "port=" + port, "unix_socket_directories=",
		"fsync=" + on, "synchronous_commit=" + on,
		"shared_buffers=512MB", "max_wal_size=4GB", "checkpoint_timeout=30min", // no checkpoint meanwhile
	} {
		args = append(args, "-c", setting)
	}
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.SysProcAttr, cmd.Dir = who, dir
	p, err := await(ctx, cmd, "postgres://bench@", port)
	if err != nil {
		return nil, err
	}
	p.url += "/postgres?sslmode=disable"
	p.end = syscall.SIGQUIT // at once, and its processes with it
	return p, nil
}

// nobody is who serves a folder: this user, or somebody else if that is root.
func nobody(above, dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return process.Mortal(), nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL refuses to be root, and there is nobody else: %w", err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return process.MortalAs(uid, gid), errors.Join(os.Chmod(above, 0o711), os.Chown(dir, uid, gid))
}
