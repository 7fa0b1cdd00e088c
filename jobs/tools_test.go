package jobs_test

import (
	"strings"
	"testing"

	"github.com/drover-batch/drover/jobs"
)

func TestAllowListsAreChecked(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ list, wrong string }{
		{"doc.search,files.read,files.*", ""},
		{"none", ""},
		{"doc.*,none", `"none" is not the name of a tool`},
		{"search", `"search" is not the name of a tool: use SERVER.TOOL`},
		{"../x.y", "is not the name of a tool"},
		{"web.get", `no tool server "web", only doc, files`},
		{"doc.write", "the tools over the document are doc.outline, doc.read, doc.search"},
		{"doc.read,doc.read", "is there twice"},
	} {
		err := jobs.CheckTools(strings.Split(row.list, ","), []string{"files"})
		switch {
		case row.wrong == "" && err != nil:
			t.Errorf("%s: %v", row.list, err)
		case row.wrong != "" && (err == nil || !strings.Contains(err.Error(), row.wrong)):
			t.Errorf("%s: %v, want %q", row.list, err, row.wrong)
		}
	}
}

func TestBatchesNarrowWhatTheirChainMayUse(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ chain, batch, allowed, refused string }{
		{"", "", "", ""},
		{"files.read doc.*", "", "files.read doc.*", ""},
		{"files.read doc.*", "none", "", ""},
		{"none", "", "", ""},
		{"", "doc.search", "doc.search", ""},
		{"files.read", "files.read files.write doc.read", "files.read doc.read", "files.write"},
		{"files.*", "files.read", "files.read", ""},
		{"files.read files.list", "files.*", "files.read files.list", ""},
		{"files.read", "web.*", "", "web.*"},
	} {
		allowed, refused := jobs.NarrowTools(strings.Fields(row.chain), strings.Fields(row.batch))
		if got := strings.Join(allowed, " "); got != row.allowed {
			t.Errorf("%q of %q is %q, want %q", row.batch, row.chain, got, row.allowed)
		}
		if got := strings.Join(refused, " "); got != row.refused {
			t.Errorf("%q of %q refuses %q, want %q", row.batch, row.chain, got, row.refused)
		}
	}
}
