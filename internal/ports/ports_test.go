package ports_test

import (
	"net"
	"strconv"
	"testing"

	"github.com/drover-batch/drover/internal/ports"
)

// Peers have to know each other's ports before they start. Those of a cluster
// were closed again and taken by other connections before its servers opened
// them, and it had no leader.
func TestPortWasAnothersBeforeItsServerOpenedIt(t *testing.T) {
	t.Parallel()
	given := map[string]bool{}
	for range 100 {
		p, err := ports.Free()
		if err != nil {
			t.Fatal(err)
		}
		if given[p] {
			t.Fatalf("%s was given out twice", p)
		}
		given[p] = true
		if n, err := strconv.Atoi(p); err != nil || n < 1024 || n >= 32768 {
			t.Errorf("%s may be anybody's: the system gives it out by itself", p)
		}
	}
}

func TestPortThatIsTakenIsNotGivenOut(t *testing.T) {
	t.Parallel()
	for range 20 {
		p, err := ports.Free()
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:"+p)
		if err != nil {
			t.Fatalf("%s is taken: %v", p, err)
		}
		t.Cleanup(func() { _ = l.Close() })
	}
}
