//go:build amd64 || arm64

package execgate

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestCoveredExecCost prints what a covered, verified exec costs against bare.
func TestCoveredExecCost(t *testing.T) {
	if testing.Short() {
		t.Skip("a measurement")
	}
	const n, rounds = 300, 5
	var bare, gatedTime []time.Duration
	for range rounds {
		for _, off := range []bool{true, false} {
			g := newGated(t)
			g.off = off
			// The decided helper starts covered execs.
			started := time.Now()
			if code := g.run(self(t), "execgate-helper", "spawn", fmt.Sprint(n), "/bin/true"); code != 0 {
				t.Fatal(code)
			}
			if d := time.Since(started); off {
				bare = append(bare, d)
			} else {
				gatedTime = append(gatedTime, d)
			}
		}
	}
	slices.Sort(bare)
	slices.Sort(gatedTime)
	t.Logf("bare %v, gated %v per exec: min %.2f median %.2f", bare[0]/n, gatedTime[0]/n,
		float64(gatedTime[0])/float64(bare[0]), float64(gatedTime[rounds/2])/float64(bare[rounds/2]))
}
