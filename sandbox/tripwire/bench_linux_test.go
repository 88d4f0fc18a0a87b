package tripwire

import (
	"strconv"
	"strings"
	"testing"
)

// BenchmarkOpen measures, inside a sandbox, what an open (and close, where it
// succeeds) costs: of a denied file, of an ordinary one beside it, and of the
// same file where no node is near.
func BenchmarkOpen(b *testing.B) {
	w := newWorld(b)
	plant(b, w.dir+"/with")
	plant(b, w.dir+"/without")
	w.cover(w.dir+"/with/.env", "env")
	for _, tt := range []struct{ name, path string }{
		{"denied", "with/.env"}, {"beside", "with/other"}, {"bare", "without/other"},
	} {
		b.Run(tt.name, func(b *testing.B) {
			r := w.run(w.dir, exe(b), "__probe", "bench", tt.path, strconv.Itoa(b.N))
			ns, err := strconv.ParseFloat(strings.TrimSpace(r.Out), 64)
			if err != nil {
				b.Fatal(r.Out)
			}
			b.ReportMetric(ns/float64(b.N), "ns/op")
		})
	}
}
