package resilience

import (
	"os"
	"runtime/debug"
	"testing"

	"github.com/drover-batch/drover/internal/redistest"
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // the embedded server's Lua makes much garbage, and little that stays
	os.Exit(redistest.Main(m))
}
