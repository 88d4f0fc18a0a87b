package cast

import (
	"strings"
	"testing"
	"time"
)

// A build's log, line by line: what recording costs the host.
func BenchmarkRecord(b *testing.B) {
	text := []byte(strings.Repeat("compiling module --release a/b/c.go: ok ", 2))
	now := time.Unix(0, 0)
	r := New(Header{Width: 80, Height: 24}, func() time.Time { return now }, nil, func(Part) error { return nil })
	b.SetBytes(int64(len(text) + 2))
	for b.Loop() {
		now = now.Add(time.Millisecond)
		r.Text(text)
		r.Control([]byte("\r"), false)
		r.Control([]byte("\n"), false)
	}
	r.Close()
}
