package names

import (
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/fold"
)

func guarded() *Set {
	s := NewSet()
	for i, p := range []string{"/p/.env", "/p/sub/Server.PEM", "/p/stra\u00dfe", "/h/.ssh", "/p/a b"} {
		s.Add(Guard{ID: uint64(i + 1), Path: p, Rule: "r"})
	}
	s.Add(Guard{ID: 99, Path: "/p/.git/hooks", Rule: "h", Frozen: true, Below: []string{"pre-commit"}})
	s.Add(Guard{ID: 98, Path: "/p/.git/config", Rule: "c", Frozen: true, Text: true})
	return s
}

func TestHas(t *testing.T) {
	s := guarded()
	for path, want := range map[string]bool{
		".env": true, "./.env": true, "/any/where/.ENV": true, ".env/": true, ".env///": true, ".\uff45nv": true, ".e\u200bnv": true,
		".env. ": true, "server.pem": true, "STRASSE": true, ".ssh": true, "A B": true, "pre-commit": true, "hooks": true,
		".git/hooks/lib": true, "HOOKS//lib//": true, "hooks/lib/x": false, "a/config": true, "config/x": false,
		"": false, "/": false, ".": false, "..": false, "env": false, ".env/x": false, ".envx": false, "a.env": false,
		strings.Repeat("a", 256): false, strings.Repeat("a", 255): false, "...": false,
	} {
		if got := s.Has([]byte(path)); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
}

func TestHasCostsNoAllocation(t *testing.T) {
	s, path := guarded(), []byte("node_modules/Some/Package/LICENSE.md")
	if n := testing.AllocsPerRun(100, func() { s.Has(path) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzHas holds the quick comparison to the rules of fold.
func FuzzHas(f *testing.F) {
	for _, s := range []string{".env", "A/.ENV ", "\u212a", "x\xff", "a/b/..", " ."} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, guard, path string) {
		base, _ := last([]byte(path))
		name := string(base)
		if strings.ContainsAny(guard, "/\x00") || guard == "" || name == "" || len(name) > nameMax {
			return
		}
		s := NewSet()
		s.Add(Guard{Path: "/" + guard})
		if got, want := s.Has([]byte(path)), fold.Name(guard) == fold.Name(name); got != want {
			t.Fatalf("guard %q, path %q: %v, want %v", guard, path, got, want)
		}
	})
}
