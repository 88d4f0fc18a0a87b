package policy

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"

	countersign "github.com/countersign/countersign"
)

// What an outer repository's policy says of a place below it, it says of that place
// when a repository there is the project: of paths, of programs and scripts by their
// path, and of what any pattern means.
func TestAnOuterPolicySaysTheSameFromInside(t *testing.T) {
	w := &world{r: rand.New(rand.NewSource(5))}
	segment := func() string { return w.pick("sub", "in", "s*", "a", "*.x", "**", "**", "?n") }
	name := func() string { return w.pick("sub", "in", "a", "b.x", "c") }
	pattern := func() string {
		parts := []string{}
		for range 1 + w.r.Intn(4) {
			parts = append(parts, segment())
		}
		if strings.HasPrefix(strings.TrimPrefix(strings.Join(parts, "/"), "**/"), "**") || strings.Count(strings.Join(parts, "/"), "**") > 2 {
			parts = []string{"sub", "in", segment()}
		}
		return w.pick("", "/", "") + strings.Join(parts, "/")
	}
	held := map[string]int{}
	for range rounds() {
		doc := parse(t, LayerProject, fmt.Sprintf(`files:
  deny: [{id: d, paths: [%q], reason: r}]
  high_risk: [{id: h, paths: [%q], reason: r}]
commands:
  - {id: p, verdict: deny, argv: ["./%s", "..."], reason: r}
  - {id: s, verdict: deny, argv: ["sh", "..."], script: %q, reason: r}
`, pattern(), pattern(), w.pick("sub/in/a", "sub/*", "*/a", "*", "sub/in/b.x", "other/a"), pattern()))
		outer := compile(t, doc).At("/o", "/home/u")
		inner := compile(t, doc.Around("sub/in", "outer:")).At("/o/sub/in", "/home/u")
		rel := name()
		if w.r.Intn(2) == 0 {
			rel += "/" + name()
		}
		for _, path := range []string{rel, "~/" + rel, "/elsewhere/" + rel} {
			from := path
			if path == rel {
				from = "sub/in/" + rel
			}
			a, was := outer.Path(from)
			b, is := inner.Path(path)
			risk, _ := outer.Risk(from)
			if now, _ := inner.Risk(path); was != is || now != risk || is && b.ID != "outer:"+a.ID {
				t.Fatalf("%s with %+v: from outside %v %s, from inside %v %s", path, doc.Files, was, risk, is, now)
			}
			if x := inner.ExplainPath(path); (x.Verdict == countersign.Deny) != is {
				t.Fatalf("%s: explain says %s", path, x.Verdict)
			}
			if is {
				held["path"]++
			}
		}
		program := &countersign.Exec{Argv: []string{"x"}, Invoked: "/o/sub/in/" + rel, Exe: countersign.Executable{Path: "/o/sub/in/" + rel}}
		script := run("sh", rel)
		script.Scripts = []countersign.Script{{Path: "/o/sub/in/" + rel}}
		for what, e := range map[string]*countersign.Exec{"program": program, "script": script} {
			a, b := outer.Exec(e, false), inner.Exec(e, false)
			if a.Verdict != b.Verdict {
				t.Fatalf("%s %s with %+v: from outside %s, from inside %s", what, rel, doc.Cmds, a.Verdict, b.Verdict)
			}
			if b.Verdict == countersign.Deny {
				held[what]++
			}
		}
	}
	for _, what := range []string{"path", "program", "script"} {
		if held[what] < 50 {
			t.Errorf("only %d answers on a %s were a deny: the test sees too little", held[what], what)
		}
	}
}

// Around a project that says the same of itself, ids do not meet, and the policy has
// another name.
func TestTwoRepositoriesWithOnePolicy(t *testing.T) {
	src := `files: {deny: [{id: d, paths: ["/sub/x"], reason: r}]}
commands: [{id: c, verdict: ask, argv: [git, push], at: any-depth, reason: r}]
network: [{id: n, verdict: deny, host: a.x, reason: r}]
models: {budgets: [{id: b, per: user, usd: 5, window: month, reason: r}]}
approvals: {typed_confirmation: [c]}
`
	doc := parse(t, LayerProject, src)
	alone := compile(t, doc)
	both := compile(t, doc, doc.Around("sub", "outer:"), doc.Around("mid/sub", "outer:outer:"))
	if r, denied := both.Path("x"); !denied || r.ID != "outer:d" || alone.Bundle() == both.Bundle() {
		t.Errorf("x: %v %+v", denied, r)
	}
	if !both.Demands("outer:outer:c").Typed || len(both.Approvals().TypedConfirmation) != 3 {
		t.Errorf("demands: %+v", both.Approvals())
	}
	if _, denied := both.Path("./"); denied {
		t.Error("the project itself is denied")
	}
	all := compile(t, parse(t, LayerProject, "files: {deny: [{id: d, paths: [mid], reason: r}]}\n").Around("mid/sub", "outer:"))
	if _, denied := all.Path("./"); !denied {
		t.Error("the project lies in a denied directory, and is open")
	}
}
