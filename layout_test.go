package drover_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/drover-batch/drover/"

// The layout rule: a package of ours imports jobs, internal/lua where it keeps
// shared state, internal/fair where it deals, internal/fold where it looks for
// text, and nothing else of ours. These put the others together and may know
// them all.
var assemblers = []string{"cmd/", "bench/", "internal/wire", "internal/ops", "internal/dashboard", "internal/audit", "deploy", "llm/outside"}

// Every package may know these.
var forAll = []string{"jobs", "internal/lua", "internal/fair", "internal/fold"}

// Tests of the others may start real servers and a model to ask.
var forTests = []string{"internal/embedded", "internal/apart", "internal/natstest", "internal/ports", "internal/racing", "internal/redistest", "llm/simulator"}

// These start such servers for tests, and may know what they do.
var scaffolds = []string{"internal/natstest", "internal/redistest"}

// Logs are written by what runs the show. The rest returns errors.
var loggers = []string{"cmd/", "bench/", "internal/wire", "internal/ops", "pool"}

func TestPackagesKnowTheDomainOnly(t *testing.T) {
	t.Parallel()
	found := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		found++
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range file.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			if wrong := objection(filepath.ToSlash(name), imported); wrong != "" {
				t.Error(wrong)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 20 {
		t.Errorf("looked at %d files only", found)
	}
}

// objection says what is wrong with a file importing a package, if anything.
func objection(file, imported string) string {
	dir, isTest := path.Dir(file), strings.HasSuffix(file, "_test.go")
	within := func(set []string) bool {
		return slices.ContainsFunc(set, func(p string) bool { return dir == p || strings.HasPrefix(dir+"/", p) && strings.HasSuffix(p, "/") })
	}
	ours, isOurs := strings.CutPrefix(imported, module)
	switch {
	case imported == "github.com/rs/zerolog" && !isTest && !within(loggers):
		return fmt.Sprintf("%s writes logs: return errors instead", file)
	case dir == "jobs" && !isTest && strings.Contains(strings.Split(imported, "/")[0], "."):
		return fmt.Sprintf("%s imports %s: jobs knows the standard library only", file, imported)
	case !isOurs || within(assemblers) || ours == dir:
		return ""
	case slices.Contains(forAll, ours):
		return ""
	case (isTest || slices.Contains(scaffolds, dir)) && slices.Contains(forTests, ours):
		return ""
	}
	return fmt.Sprintf("%s imports %s: a package of ours knows %s, nothing else of ours", file, ours, strings.Join(forAll, ", "))
}

func TestTheLayoutRuleObjects(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		file, imported string
		fine           bool
	}{
		{"queue/queue.go", module + "jobs", true},
		{"budget/ledger.go", module + "internal/lua", true},
		{"queue/live.go", module + "internal/fair", true},
		{"internal/fair/fair.go", module + "queue", false},
		{"answers/quotes.go", module + "internal/fold", true},
		{"tools/own.go", module + "internal/fold", true},
		{"tools/own.go", module + "answers", false},
		{"internal/fold/fold.go", module + "answers", false},
		{"budget/ledger.go", module + "queue", false},
		{"budget/ledger_test.go", module + "queue", false},
		{"budget/ledger_test.go", module + "internal/embedded", true},
		{"budget/ledger.go", module + "internal/embedded", false},
		{"budget/ledger_test.go", module + "budget", true},
		{"llm/simulator/simulator.go", module + "llm", false},
		{"llm/simulator/simulator.go", module + "jobs", true},
		{"llm/openai_test.go", module + "llm/simulator", true},
		{"cmd/worker/main.go", module + "queue", true},
		{"bench/pipeline/main.go", module + "pool", true},
		{"internal/wire/wire.go", module + "pool", true},
		{"internal/wired/wire.go", module + "pool", false},
		{"internal/natstest/cluster.go", module + "internal/ports", true},
		{"internal/embedded/nats.go", module + "internal/ports", false},
		{"jobs/job.go", module + "internal/lua", false},
		{"jobs/job.go", "github.com/google/uuid", false},
		{"jobs/job.go", "encoding/json", true},
		{"jobs/job_test.go", "pgregory.net/rapid", true},
		{"queue/queue.go", "github.com/rs/zerolog", false},
		{"pool/pool.go", "github.com/rs/zerolog", true},
	} {
		if got := objection(test.file, test.imported); (got == "") != test.fine {
			t.Errorf("%s importing %s: objection %q, want fine = %v", test.file, test.imported, got, test.fine)
		}
	}
}

// Pages name the tests that hold what they say, whole or by the beginning of
// their name.
func TestTestsThatPagesNameAreThere(t *testing.T) {
	t.Parallel()
	var pages, tests []string
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules"):
			return filepath.SkipDir
		case strings.HasSuffix(name, ".md"):
			pages = append(pages, name)
		case strings.HasSuffix(name, "_test.go"):
			tests = append(tests, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	var there []string
	for _, name := range tests {
		for _, found := range declared.FindAllStringSubmatch(text(t, name), -1) {
			there = append(there, found[1])
		}
	}
	mentioned := regexp.MustCompile("(?:-run '?|`)((?:Test|Fuzz|Benchmark)[A-Z]\\w+)")
	named := 0
	for _, page := range pages {
		for _, found := range mentioned.FindAllStringSubmatch(text(t, page), -1) {
			named++
			if !slices.ContainsFunc(there, func(test string) bool { return strings.HasPrefix(test, found[1]) }) {
				t.Errorf("%s names %s, which is no test", page, found[1])
			}
		}
	}
	if named < 70 {
		t.Errorf("found %d names of tests only", named)
	}
}

func text(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
