package profile

import "testing"

// Every session reads one; `countersign agents` reads all.
func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := Load(); err != nil {
			b.Fatal(err)
		}
	}
}
