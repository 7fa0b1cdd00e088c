package resilience

import (
	"os"
	"testing"

	"github.com/drover-batch/drover/internal/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }
