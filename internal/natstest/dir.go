package natstest

import (
	"os"
	"testing"
)

// Dir is a folder for what a server stores, in memory where the system has such:
// a test that breaks no disk need not wait for one.
func Dir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "drover")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
