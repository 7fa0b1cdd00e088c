package config

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/drover-batch/drover/jobs"

	_ "embed"
)

// Source says where the configuration comes from.
type Source struct {
	// Path is the YAML file. Default: what DROVER_CONFIG names; without
	// either, the built-in simulator.
	Path string

	// Single, if set, is asked for a configuration of one model instead of
	// the file.
	Single *Single

	// Environ is the environment as os.Environ returns it, which is the
	// default.
	Environ []string

	// Flags override everything else.
	Flags []Flag

	// Price looks up what a provider's model costs, by the name the provider
	// gives it. It is asked for models without a price in the file that are
	// at their provider's own address. Nil knows no price.
	Price func(upstream string) (jobs.Price, bool)

	// PriceFile opens the list of prices that the file names, for what comes
	// before Price. It is needed only if the file names one.
	PriceFile func(path string) (func(upstream string) (jobs.Price, bool), error)
}

// Flag is a setting from the command line.
type Flag struct {
	Name  string // how errors call it: --slots
	Path  string // what it sets: worker.slots
	Value string
}

//go:embed simulated.yaml
var simulated []byte

// Load reads the configuration and checks it. The error has one line for
// everything that is wrong.
func Load(s Source) (*Config, error) {
	env := environment(s.Environ)
	if s.Path == "" && s.Single == nil {
		s.Path = env["DROVER_CONFIG"]
	}
	data, name, err := s.read(env)
	if err != nil {
		return nil, err
	}
	l := &report{name: name, places: map[string]place{}}
	doc := &document{}
	fillDefaults(reflect.ValueOf(doc).Elem())
	if !l.decode(data, doc) {
		return nil, l.err()
	}
	l.noPasswords(doc)
	if s.Path != "" {
		doc.beside(s.Path)
	}
	l.overlay(doc, env, s.Flags)

	c := &doc.Config
	c.name, c.env = name, env
	c.Simulated = s.Path == "" && s.Single == nil
	l.resolve(doc, l.prices(doc.Prices, s))
	l.check(c)
	if err := l.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// prices looks a price up in the file first, and then in the built-in list.
func (l *report) prices(path string, s Source) func(string) (jobs.Price, bool) {
	if path == "" || s.PriceFile == nil {
		return s.Price
	}
	own, err := s.PriceFile(path)
	if err != nil {
		l.wrong("prices", "prices: %v", err)
		return s.Price
	}
	return func(upstream string) (jobs.Price, bool) {
		if p, ok := own(upstream); ok || s.Price == nil {
			return p, ok
		}
		return s.Price(upstream)
	}
}

// read returns the YAML text and what to call it.
func (s Source) read(env map[string]string) (data []byte, name string, err error) {
	switch {
	case s.Path != "" && s.Single != nil:
		return nil, "", fmt.Errorf("both a configuration (%s) and a single model (%s): use one of them", s.Path, s.Single.Model)
	case s.Single != nil:
		data, err = s.Single.yaml(env)
		return data, "--model", err
	case s.Path == "":
		return simulated, "the built-in configuration", nil
	}
	data, err = os.ReadFile(s.Path)
	if err != nil {
		return nil, "", fmt.Errorf("reading the configuration: %w", err)
	}
	return data, s.Path, nil
}

func environment(environ []string) map[string]string {
	if environ == nil {
		environ = os.Environ()
	}
	env := make(map[string]string, len(environ))
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok && value != "" {
			env[name] = value
		}
	}
	return env
}

// overlay applies the environment and then the flags.
func (l *report) overlay(doc *document, env map[string]string, flags []Flag) {
	all := settings(reflect.ValueOf(doc).Elem(), "")
	for _, short := range []string{"NATS_URL", "REDIS_URL"} {
		if value, ok := env[short]; ok {
			l.set(all[prefix+short], place{name: short}, value)
		}
	}
	names := slices.Sorted(maps.Keys(all))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if !strings.HasPrefix(name, prefix) || name == "DROVER_CONFIG" {
			continue
		}
		if s, ok := all[name]; ok {
			l.set(s, place{name: name}, env[name])
		} else if near, ok := nearest(name, names); ok {
			l.wrongAt(place{name: name}, name, "no setting has this variable: did you mean %s?", near)
		}
	}
	for _, f := range flags {
		s, ok := all[variable(f.Path)]
		if !ok {
			panic(fmt.Sprintf("config: the flag %s sets %q, which is no setting", f.Name, f.Path))
		}
		l.set(s, place{name: f.Name}, f.Value)
	}
}

func (l *report) set(s setting, at place, text string) {
	if err := setScalar(s.value, text, s.tag); err != nil {
		l.wrongAt(at, s.path, "%s must be %v", s.path, err)
		return
	}
	l.places[s.path] = at
}
