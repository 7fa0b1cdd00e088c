package wire

import (
	"cmp"
	"runtime/debug"
)

// Version names this build: its release, or the commit that it was made of;
// (devel) where Go was not told.
func Version() string {
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return "(devel)"
	}
	return cmp.Or(info.Main.Version, "(devel)")
}
