//go:build unix

package host

import (
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

func BenchmarkOutput(b *testing.B) {
	for name, s := range map[string]string{
		"lines":  strings.Repeat("the quick brown fox jumps over the lazy dog 0123456789\r\n", 500),
		"redraw": randomStream(rand.New(rand.NewPCG(1, 1)), 3000, 80, 24),
	} {
		b.Run(name, func(b *testing.B) {
			l := &loop{screen: newScreen(80, 24), tty: io.Discard}
			b.SetBytes(int64(len(s)))
			for b.Loop() {
				l.output([]byte(s))
				l.sync()
			}
		})
	}
}
