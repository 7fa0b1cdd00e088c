package tools

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// Server is an MCP server: a command that speaks over its standard input and
// output, or an address that speaks streamable HTTP.
type Server struct {
	Command []string // the program and its arguments, run without a shell
	Env     []string // all of its environment, each as NAME=value

	URL   string
	Token jobs.Secret // sent as Authorization: Bearer; may be empty

	Timeout    time.Duration // of one call, waiting included; default 30s
	MaxResult  int           // bytes of a result; default 64 KiB
	Concurrent int           // calls at the same time; default 8
	PerMinute  int           // calls per minute; 0 for no limit
	PerJob     int           // calls that one job may make; 0 for no limit
}

// Config is what a box is made of.
type Config struct {
	Servers map[string]Server // by the name that allow-lists use

	// Dial connects to a server; default Connect. It must not return before it
	// knows whether it could, and must respect ctx.
	Dial func(ctx context.Context, name string, s Server, note func(string)) (Session, error)

	// Turn blocks until a server may be called again that allows so many calls
	// a minute, which has to be before ctx ends: jobs.ErrNoTurn if it is not. The
	// waiting of any call is at most longest. Default: this process keeps the
	// pace alone.
	Turn func(ctx context.Context, server string, perMinute int, longest time.Duration) error

	// Note is told what happens to servers, without anything they say; may be
	// nil.
	Note func(server, what string)
}

// Box holds the tool servers of a process. It may be used by several
// goroutines.
type Box struct{ servers map[string]*server }

// New makes a box. Nothing is started yet.
func New(c Config) *Box {
	if c.Dial == nil {
		c.Dial = Connect
	}
	if c.Note == nil {
		c.Note = func(string, string) {}
	}
	b := &Box{servers: make(map[string]*server, len(c.Servers))}
	for name, s := range c.Servers {
		b.servers[name] = newServer(name, s, c)
	}
	return b
}

// Close ends all servers and waits for them. Calls that are running fail.
func (b *Box) Close() {
	for _, s := range b.servers {
		s.close()
	}
}

// ownSize is how much a tool over the document may answer.
const ownSize = 32 << 10

// Kit is what an allow-list allows, which jobs.CheckTools has checked. most
// limits how often one job may call a tool, by its name, or each tool of a
// server by SERVER.*, whichever entry of the list allows it. Servers that were
// not needed so far are started, and it blocks until they have told what tools
// they have, 30 seconds at the most. *Away: try again later. Other errors are
// mistakes in the configuration.
func (b *Box) Kit(ctx context.Context, allowed []string, most map[string]int) (*Kit, error) {
	all := map[string]*tool{} // by path
	for _, e := range allowed {
		server, name, _ := strings.Cut(e, ".")
		found, err := b.find(ctx, server, name)
		if err != nil {
			return nil, err
		}
		for path, t := range found {
			for _, key := range []string{path, server + ".*"} {
				if n := most[key]; n > 0 && (t.most == 0 || n < t.most) {
					t.most = n
				}
			}
			all[path] = t
		}
	}
	k := &Kit{tools: make(map[string]*tool, len(all))}
	for path, name := range spoken(slices.Collect(maps.Keys(all))) {
		t := all[path]
		t.Name = name
		k.tools[name] = t
		k.own = k.own || strings.HasPrefix(path, jobs.DocumentTools+".")
	}
	return k, nil
}

// find finds a server's tools by an entry of an allow-list.
func (b *Box) find(ctx context.Context, name, wanted string) (map[string]*tool, error) {
	if name == jobs.DocumentTools {
		return ownTools(wanted), nil
	}
	s, ok := b.servers[name]
	if !ok {
		return nil, fmt.Errorf("no tool server %q", clip(name))
	}
	specs, err := s.tools(ctx)
	if err != nil {
		return nil, err
	}
	found := map[string]*tool{}
	var names []string
	for _, spec := range specs {
		names = append(names, spec.Name)
		if wanted == "*" || wanted == spec.Name {
			found[name+"."+spec.Name] = s.tool(spec)
		}
	}
	if len(found) == 0 && wanted != "*" {
		return nil, fmt.Errorf("the tool server %s has no tool %q, only %s", name, clip(wanted), clip(strings.Join(names, ", ")))
	}
	return found, nil
}
