package sandbox

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/countersign/countersign/sandbox/tripwire"
)

// BenchmarkTripwires is a start with the 160 places of a home.
func BenchmarkTripwires(b *testing.B) {
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	c := Config{Exe: exe, Argv: []string{"true"}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/", Home: insideHome, HomeSource: b.TempDir(), Gate: true, RequireFuse: true}
	var nodes []tripwire.Node
	for i := range 160 {
		n := tripwire.Node{ID: uint64(i + 1), Path: fmt.Sprintf("%s/.place/x%d", insideHome, i), Attr: tripwire.Attr{Mode: 0o100600, Nlink: 1}}
		nodes = append(nodes, n)
		c.Tripwires = append(c.Tripwires, Trip{ID: n.ID, Path: n.Path})
	}
	var served, up time.Duration
	for b.Loop() {
		var server *tripwire.Server
		at := time.Now()
		c.OnFuse = func(f *os.File) (err error) {
			at := time.Now()
			defer func() { served += time.Since(at) }()
			if server, err = tripwire.Start(b.Context(), exe, f, func(tripwire.Event) {}); err != nil {
				return err
			}
			return server.Add(nodes...)
		}
		s, err := Start(b.Context(), c)
		if err != nil {
			b.Fatal(err)
		}
		up += time.Since(at)
		s.Kill()
		server.Close()
	}
	b.ReportMetric(float64(served.Microseconds())/1000/float64(b.N), "ms/served")
	b.ReportMetric(float64(up.Microseconds())/1000/float64(b.N), "ms/up")
}
