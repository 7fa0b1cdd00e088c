package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary be the enqueue command too, and puts a worker
// next to it.
func TestMain(m *testing.M) {
	testscript.Main(withWorker{m}, map[string]func(){"enqueue": main, "mcp-files": serveFiles})
}

type withWorker struct{ *testing.M }

// Run implements testscript.TestingM.
func (m withWorker) Run() int {
	dir, err := os.MkdirTemp("", "drover-worker-")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		err = build(dir, "../worker")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_ = os.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return m.M.Run()
}

func build(dir, pkg string) error {
	out, err := exec.CommandContext(context.Background(), "go", "build", "-o", dir+string(filepath.Separator), pkg).CombinedOutput()
	if err != nil {
		return fmt.Errorf("building %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// TestScripts runs the scripts in testdata/script. In addition to the usual
// commands they have:
//
//	exits CODE PROGRAM ARG…   run a program that exits so
//	start NAME PROGRAM ARG…   run one in the background
//	await NAME PATTERN        block until it prints a line, from where the last
//	                          await left off; named groups become variables
//	signal NAME INT|TERM|KILL
//	ends NAME CODE            block until it has ended, killed is -1
//	provider                  serve models at $PROVIDER that answer at once, but
//	                          for documents with [[hold]]
//	asked N                   block until they have been asked N times in all;
//	                          the requests are in asked/1.json and so on
//	release, hold             answer what is held, now and from now on, or hold again
//	fault JSON                what the models do wrong, see llm/simulator
//	collector                 serve what takes traces, and keep them in spans.json
//	get URL, post URL BODY    ask an HTTP server
//	fill FILE…                expand variables in files
//	binary FILE               write what is no text
//	large N FILE              append a document of N bytes, as JSON to a .jsonl
//	outcomes N FILE           one line each for N documents
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                "testdata/script",
		RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Values[worldKey{}] = &world{processes: map[string]*process{}}
			e.Setenv("CONTRACTS", contracts())
			e.Setenv("EOT", "\x04") // ends what is typed on a terminal
			e.Setenv("FILES", absolute([]string{"../../documents/testdata/files"})[0])
			if dir, err := os.UserCacheDir(); err == nil {
				e.Setenv("XDG_CACHE_HOME", dir) // where the PDF reader is kept once it is compiled
			}
			return nil
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Geteuid() == 0, nil
			case "terminal": // can be played
				_, err := os.Stat("/dev/ptmx")
				return err == nil, nil
			}
			return false, fmt.Errorf("unknown condition %s", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "start": start, "await": await, "signal": send, "ends": ends,
			"provider": serveModels, "asked": asked, "release": release, "hold": hold, "fault": fault, "collector": collect,
			"get": get, "documented": documented, "post": post, "fill": fill, "binary": binary, "large": large, "outcomes": outcomes,
		},
	})
}

func contracts() string {
	path, err := filepath.Abs("../../examples/contracts")
	if err != nil {
		panic(err)
	}
	return path
}

// world is what one script has started.
type world struct {
	processes map[string]*process
	provider  *provider
}

type worldKey struct{}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

func use(ts *testscript.TestScript, neg bool, ok bool, usage string) {
	if neg || !ok {
		ts.Fatalf("usage: %s", usage)
	}
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, len(args) > 1, "exits CODE PROGRAM ARG…")
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		e, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = e.ExitCode()
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, not %s", code, args[0])
	}
}

func fill(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, len(args) > 0, "fill FILE…")
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}

func binary(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, len(args) == 1, "binary FILE")
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte{0x7f, 0, 1, 2, 0xff, 0xfe, 0, 0}, 0o600))
}

func large(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, len(args) == 2, "large N FILE")
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	before, after := "", ""
	if filepath.Ext(args[1]) == ".jsonl" {
		before, after = `{"text":"`, "\"}\n"
	}
	f, err := os.OpenFile(ts.MkAbs(args[1]), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	_, err = f.WriteString(before + strings.Repeat("word ", n/5+1)[:n] + after)
	ts.Check(errors.Join(err, f.Close()))
}

func outcomes(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, len(args) == 2, "outcomes N FILE")
	seen := map[string]bool{}
	for s := bufio.NewScanner(strings.NewReader(ts.ReadFile(args[1]))); s.Scan(); {
		var line struct {
			CustomID string `json:"custom_id"`
		}
		ts.Check(json.Unmarshal(s.Bytes(), &line))
		if seen[line.CustomID] {
			ts.Fatalf("%s has two lines for %s", args[1], line.CustomID)
		}
		seen[line.CustomID] = true
	}
	if strconv.Itoa(len(seen)) != args[0] {
		ts.Fatalf("%s has lines for %d documents, not %s", args[1], len(seen), args[0])
	}
}
