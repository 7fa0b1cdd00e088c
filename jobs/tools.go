package jobs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// DocumentTools is the name under which lists of tools have those over the
// job's own document.
const DocumentTools = "doc"

// OverDocument lists the tools over the job's own document.
func OverDocument() []string { return []string{"outline", "read", "search"} }

// NoTools is the only entry of a list of tools where none are wanted.
const NoTools = "none"

var toolEntry = regexp.MustCompile(`^([A-Za-z0-9_-]{1,32})\.(\*|[A-Za-z0-9._/-]{1,128})$`)

// CheckTools reports what is wrong with a list of tools: each entry is the
// name of a server, a dot, and the name of one of its tools or * for all;
// doc is the job's own document. Whether a server has such a tool is known
// only when it was asked.
func CheckTools(allowed, servers []string) error {
	for i, e := range allowed {
		if e == NoTools && len(allowed) == 1 {
			return nil
		}
		m := toolEntry.FindStringSubmatch(e)
		switch {
		case m == nil:
			return fmt.Errorf("%q is not the name of a tool: use SERVER.TOOL such as doc.search, or SERVER.*", e)
		case m[1] != DocumentTools && !slices.Contains(servers, m[1]):
			return fmt.Errorf("%s: no tool server %q, only %s", e, m[1], strings.Join(slices.Sorted(slices.Values(append(slices.Clip(servers), DocumentTools))), ", "))
		case m[1] == DocumentTools && m[2] != "*" && !slices.Contains(OverDocument(), m[2]):
			return fmt.Errorf("%s: the tools over the document are %s", e, "doc."+strings.Join(OverDocument(), ", doc."))
		case slices.Contains(allowed[:i], e):
			return fmt.Errorf("%s is there twice", e)
		}
	}
	return nil
}

func covers(allowed []string, e string) bool {
	server, _, _ := strings.Cut(e, ".")
	return slices.Contains(allowed, e) || slices.Contains(allowed, server+".*")
}

// NarrowTools is what a batch may use that asks for some tools, of what its
// chain is allowed. Those over the document are open to every batch. refused
// lists what is not the batch's to use.
func NarrowTools(chain, batch []string) (allowed, refused []string) {
	switch {
	case len(batch) == 0 && !slices.Contains(chain, NoTools):
		return chain, nil
	case len(batch) == 0 || slices.Contains(batch, NoTools):
		return nil, nil
	}
	for _, e := range batch {
		switch server, name, _ := strings.Cut(e, "."); {
		case covers(chain, e), server == DocumentTools:
			allowed = append(allowed, e)
		case name == "*": // what there is of it
			before := len(allowed)
			for _, c := range chain {
				if strings.HasPrefix(c, server+".") {
					allowed = append(allowed, c)
				}
			}
			if len(allowed) == before {
				refused = append(refused, e)
			}
		default:
			refused = append(refused, e)
		}
	}
	return allowed, refused
}
