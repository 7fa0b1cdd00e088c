// Package apart runs a test in a process of its own.
//
// It is for tests in a synctest bubble whose NATS client reconnects: the client
// then takes a timer from a pool that the whole process shares, and a timer of
// another bubble ends the process (nats.go 1.55, Conn.doReconnect).
package apart

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// variable holds the name of the test that a process is for.
const variable = "DROVER_TEST_APART"

// Test runs f in a new process of the same test binary, which is told to run
// nothing but t, and in parallel with other tests. args are more flags for it.
func Test(t *testing.T, f func(t *testing.T), args ...string) {
	t.Helper()
	if Inside(t) {
		f(t)
		return
	}
	t.Parallel()
	said, err := Run(t, args...)
	switch {
	case err != nil:
		t.Error(fmt.Errorf("in a process of its own: %w\n%s", err, said))
	case said != "":
		t.Log(said)
	}
}

// Inside reports whether this is the process that t has to itself.
func Inside(t *testing.T) bool { return os.Getenv(variable) == t.Name() }

// Run starts the process, waits for its end and returns what the test said in
// it. An error means that the test failed.
func Run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	only := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"-test.v", "-test.run=" + only}, args...)...)
	cmd.Env = append(os.Environ(), variable+"="+t.Name())
	out, err := cmd.CombinedOutput()
	if err == nil && !strings.Contains(string(out), "--- PASS: "+t.Name()) && !strings.Contains(string(out), "--- SKIP: "+t.Name()) {
		err = errors.New("it did not run")
	}
	return said(string(out)), err
}

// said is what a test wrote, without the test runner's own lines.
func said(out string) string {
	var b strings.Builder
	for line := range strings.Lines(out) {
		if text := strings.TrimSpace(line); text != "PASS" && !strings.HasPrefix(text, "=== ") && !strings.HasPrefix(text, "--- PASS") {
			b.WriteString(line)
		}
	}
	return strings.TrimSpace(b.String())
}
