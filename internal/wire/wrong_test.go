package wire

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/drover-batch/drover/internal/apart"
	"github.com/drover-batch/drover/internal/racing"
)

// wrong is a protocol with one mistake in it, and a world that brings the
// mistake to light.
type wrong struct {
	name    string
	when    string // what happens in the world
	scene   scene
	play    func(w *world)
	mistake []changing
	caught  string // what is objected to, as a regular expression
}

// TestWrongProtocolsAreCaught is the test of the tests: every world has nothing
// to object to the protocol as it is, and objects to it with a mistake in it,
// for the right reason. With -v it prints who caught what.
func TestWrongProtocolsAreCaught(t *testing.T) {
	var mu sync.Mutex
	var rows []string
	t.Run("all", func(t *testing.T) {
		for _, v := range wrongs {
			v.scene.embedded = !racing.On // some of the mistakes are about what it alone lets pass
			t.Run(v.name, func(t *testing.T) {
				t.Run("right", func(t *testing.T) {
					if racing.On && v.name == "calls in flight not held again after a flush" {
						t.Skip("see TestCallsInFlightAreHeldAgainAfterAFlush")
					}
					inWorld(t, v.scene, v.play)
				})
				t.Run("wrong", func(t *testing.T) {
					racing.Spare(t, "nobody goes these ways")
					v.isCaught(t, func(row string) {
						mu.Lock()
						defer mu.Unlock()
						rows = append(rows, row)
					})
				})
			})
		}
	})
	slices.Sort(rows)
	t.Log("caught:\n" + strings.Join(rows, "\n"))
}

func (v wrong) isCaught(t *testing.T, tell func(row string)) {
	s := v.scene
	s.changes = append(slices.Clip(s.changes), v.mistake...)
	play := func(t *testing.T) {
		s.watch(t, v.play, func(objections []string, mistakes int64) {
			i := slices.IndexFunc(objections, regexp.MustCompile(v.caught).MatchString)
			switch {
			case mistakes == 0:
				t.Errorf("the mistake was never made; objections: %q", objections)
			case i < 0:
				t.Errorf("%d mistakes were made, and nobody said %q but %q", mistakes, v.caught, objections)
			default:
				tell(fmt.Sprintf("  %-44s when %-50s %2d objections, such as: %s", v.name, v.when, len(objections), objections[i]))
			}
		})
	}
	if s.reconnects {
		apart.Test(t, play)
		return
	}
	play(t)
}
