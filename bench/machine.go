package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// look says what this machine is.
func look(ctx context.Context, programs map[string]string) machine {
	m := machine{
		Began: time.Now(), Cores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH,
		Load: [2]float64{load(), 0}, Versions: map[string]string{"go": strings.TrimPrefix(runtime.Version(), "go")},
	}
	for name, path := range programs {
		if v := programVersion(ctx, path); v != "" {
			m.Versions[name] = v
		}
	}
	return m
}

// load is the load average of the last minute, 0 if the system does not say.
func load() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), " ")
	n, _ := strconv.ParseFloat(first, 64)
	return n
}

var version = regexp.MustCompile(`\d+\.\d+(\.\d+)?`)

// programVersion is what a server says with --version, "" if it does not.
func programVersion(ctx context.Context, path string) string {
	if path == "" {
		return ""
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return ""
	}
	return version.FindString(string(out))
}

func (m *machine) end() {
	m.Took = time.Since(m.Began)
	m.Load[1] = load()
}

func (m *machine) write(out io.Writer) error {
	var made []string
	for _, name := range slices.Sorted(maps.Keys(m.Versions)) {
		made = append(made, name+" "+m.Versions[name])
	}
	_, err := fmt.Fprintf(out, "\n%s, %d cores, load %.1f at the beginning and %.1f at the end, in %v\n%s\n",
		m.System, m.Cores, m.Load[0], m.Load[1], m.Took.Round(time.Second), strings.Join(made, ", "))
	return err
}
