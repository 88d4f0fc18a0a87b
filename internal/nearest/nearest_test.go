package nearest

import (
	"slices"
	"testing"
)

func TestOf(t *testing.T) {
	known := []string{"exec.decided", "exec.started", "file.denied", "net.decided", "net.denied", "sandbox.denied"}
	for word, want := range map[string][]string{
		"file.denid":   {"file.denied"},
		"exec.decied":  {"exec.decided"},
		"exec":         {"exec.decided", "exec.started"},
		"denied":       {"net.denied", "file.denied", "sandbox.denied"},
		"nosuch":       {},
		"":             {},
		"file.denied!": {"file.denied"},
	} {
		if got := Of(word, known); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

func FuzzDistance(f *testing.F) {
	f.Add("kitten", "sitting")
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a)+len(b) > 400 {
			return
		}
		d := distance(a, b)
		if d != distance(b, a) || (d == 0) != (a == b) || d > max(len(a), len(b)) || d < max(len(a), len(b))-min(len(a), len(b)) {
			t.Errorf("%q and %q are %d apart", a, b, d)
		}
	})
}
