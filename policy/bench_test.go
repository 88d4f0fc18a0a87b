package policy

import (
	"testing"

	countersign "github.com/countersign/countersign"
)

var sink countersign.Ruling

// The two questions that stand on the way of every exec and every name; the aim
// is under 2 µs each, without an allocation.
func BenchmarkExec(b *testing.B) {
	builtin := compile(b, BuiltIn())
	standard := compile(b, BuiltIn(), parse(b, LayerUser, "preset: standard"), parse(b, LayerProject, `commands: [{id: p, verdict: deny, argv: ["*rm*", "-rf", "..."], reason: r}]`))
	e := run("git", "status", "--short")
	e.Hops = []string{"/bin/git", "/usr/bin/git"}
	for _, bench := range []struct {
		name    string
		p       *Policy
		covered bool
	}{{"builtin", builtin, false}, {"builtin covered", builtin, true}, {"standard", standard, false}, {"standard covered", standard, true}} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sink = bench.p.Exec(e, bench.covered)
			}
		})
	}
}

func BenchmarkPath(b *testing.B) {
	p := builtIn(b)
	for _, path := range []string{"main.go", "internal/server/handlers/users_test.go", "node_modules/@scope/package/dist/esm/index.js", "deploy/.ENV", "src/Ünïcode.txt"} {
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Path(path)
			}
		})
	}
}

// The benchmarks say how fast; this one fails if an allocation creeps in.
func TestTheHotPathDoesNotAllocate(t *testing.T) {
	p := compile(t, BuiltIn(), parse(t, LayerUser, "preset: standard"))
	e := run("git", "status")
	if n := testing.AllocsPerRun(100, func() { sink = p.Exec(e, true) }); n != 0 {
		t.Errorf("Exec allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { p.Path("internal/server/handlers/users_test.go") }); n != 0 {
		t.Errorf("Path allocates %v times", n)
	}
}
