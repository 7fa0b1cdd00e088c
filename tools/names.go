package tools

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// spoken gives tools the names that models use: providers take letters,
// digits, _ and - only, and 64 of them.
func spoken(paths []string) map[string]string {
	names := make(map[string]string, len(paths))
	taken := map[string]bool{}
	for _, path := range slices.Sorted(slices.Values(paths)) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-':
				return r
			}
			return '_'
		}, path)
		if len(name) > 64 || taken[name] {
			sum := sha256.Sum256([]byte(path))
			name = name[:min(len(name), 55)] + "_" + hex.EncodeToString(sum[:4])
		}
		taken[name] = true
		names[path] = name
	}
	return names
}
