package names

import "testing"

func BenchmarkHas(b *testing.B) {
	s, path := guarded(), []byte("node_modules/Some/Package/LICENSE.md")
	for b.Loop() {
		s.Has(path)
	}
}
