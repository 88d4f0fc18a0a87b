package suggest_test

import (
	"math/rand"
	"strings"
	"testing"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/policy/history"
	"github.com/countersign/countersign/policy/suggest"
)

// parse reads proposals as a person would put them into a file.
func parse(ps []suggest.Proposal) (*policy.Policy, error) {
	doc, err := policy.Parse(policy.LayerUser, "s", []byte(suggest.YAML(ps, nil)))
	if err != nil {
		return nil, err
	}
	return policy.Compile(doc)
}

func from(t *testing.T, past []history.Past) ([]suggest.Proposal, []suggest.Left) {
	t.Helper()
	now, err := policy.Compile(policy.BuiltIn())
	if err != nil {
		t.Fatal(err)
	}
	return suggest.From(past, suggest.Options{Least: 3, Now: now, Try: func(argv []string) (history.Judge, error) {
		return parse([]suggest.Proposal{{ID: "tried", Argv: argv, Reason: "r"}})
	}})
}

func said(basis countersign.Basis, yes bool, argv ...string) history.Past {
	path := "/usr/bin/" + argv[0]
	return history.Past{
		Was: countersign.Ask, Rule: "default", Basis: basis, Granted: yes, Count: 1, Whole: true,
		Exec: &countersign.Exec{Argv: argv, Invoked: path, Exe: countersign.Executable{Path: path}, Hops: []string{path}},
	}
}

func yes(n int, argv ...string) (out []history.Past) {
	for range n {
		out = append(out, said(countersign.ByPerson, true, argv...))
	}
	return out
}

func list(ps []suggest.Proposal) string {
	var out []string
	for _, p := range ps {
		out = append(out, strings.Join(p.Argv, " "))
	}
	return strings.Join(out, "; ")
}

func TestProposals(t *testing.T) {
	no := said(countersign.ByPerson, false, "go", "test", "./secret")
	change := func(ps []history.Past, f func(*history.Past)) []history.Past {
		for i := range ps {
			f(&ps[i])
		}
		return ps
	}
	for _, tt := range []struct {
		name string
		past [][]history.Past
		want string
		left int
	}{
		{"too seldom", [][]history.Past{yes(2, "make")}, "", 0},
		{"often", [][]history.Past{yes(3, "make")}, "make", 0},
		{"a family", [][]history.Past{yes(1, "go", "test", "./a"), yes(1, "go", "test", "./b"), yes(1, "go", "test", "./c")}, "go test ./*", 0},
		{"two are no family", [][]history.Past{yes(3, "go", "test", "./a"), yes(1, "go", "test", "./b")}, "go test ./a", 0},
		{"a family with a no in it", [][]history.Past{yes(3, "go", "test", "./a"), yes(1, "go", "test", "./b"), yes(1, "go", "test", "./c"), {no}}, "go test ./a", 0},
		{"options are no paths", [][]history.Past{yes(1, "x", "-a"), yes(1, "x", "-b"), yes(1, "x", "-c")}, "", 0},
		{"upwards is no path below", [][]history.Past{yes(1, "cat", "./../a"), yes(1, "cat", "./../b"), yes(1, "cat", "./../c")}, "", 0},
		{"a shell's very text", [][]history.Past{yes(3, "bash", "-c", "npm test")}, "bash -c npm test", 0},
		{"no family of interpreters", [][]history.Past{yes(1, "bash", "./a"), yes(1, "bash", "./b"), yes(1, "bash", "./c")}, "", 0},
		{"stars are letters", [][]history.Past{yes(3, "echo", "*", `\`, "...")}, `echo \* \\ \...`, 0},
		{"denied too", [][]history.Past{yes(9, "rm", "x"), {said(countersign.ByPerson, false, "rm", "x")}}, "", 1},
		{"where the session writes", [][]history.Past{change(yes(3, "x"), func(p *history.Past) { p.Exec.Writable = true })}, "", 1},
		{"another environment", [][]history.Past{change(yes(3, "x"), func(p *history.Past) { p.Exec.Delta = []countersign.EnvChange{{Name: "LD_PRELOAD"}} })}, "", 1},
		{"a script", [][]history.Past{change(yes(3, "x"), func(p *history.Past) { p.Exec.Scripts = []countersign.Script{{Path: "/p/x"}} })}, "", 1},
		{"a rule means to ask", [][]history.Past{change(yes(3, "x"), func(p *history.Past) { p.Rule = "push" })}, "", 1},
		{"covered is not asked", [][]history.Past{change(yes(3, "x"), func(p *history.Past) { p.Covered = true })}, "", 0},
		{"kept in part", [][]history.Past{change(yes(3, "x"), func(p *history.Past) { p.Whole = false })}, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var past []history.Past
			for _, p := range tt.past {
				past = append(past, p...)
			}
			ps, left := from(t, past)
			if got := list(ps); got != tt.want || len(left) != tt.left {
				t.Errorf("proposed %q, left %d; want %q, %d", got, len(left), tt.want, tt.left)
			}
		})
	}
}

// Whatever was approved and denied: what is proposed reads back as a policy, allows
// only what was approved or differs from it in a path, and nothing that was denied.
func TestNoProposalAllowsWhatWasDenied(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	words := []string{"a", "./a", "./b", "./c", "-x", "*", "...", `"`, "\n", "ü", "\u202e", "#", "'", "{}", "x: y", "$(id)", "\U0001f600", "-", ""}
	progs := []string{"go", "rm", "bash", "make", "l*", "...", "ls -l", "/usr/bin/x", "ü"}
	some := 0
	for range 150 {
		var past []history.Past
		for range 3 + r.Intn(30) {
			argv := []string{progs[r.Intn(len(progs))]}
			for range r.Intn(3) {
				argv = append(argv, words[r.Intn(len(words))])
			}
			p := said(countersign.ByPerson, r.Intn(6) > 0, argv...)
			for range 1 + r.Intn(3) {
				past = append(past, p)
			}
		}
		ps, left := from(t, past)
		pol, err := parse(ps)
		if err != nil {
			t.Fatalf("%v in\n%s", err, suggest.YAML(ps, left))
		}
		if _, err := policy.Parse(policy.LayerUser, "s", []byte(suggest.YAML(ps, left))); err != nil {
			t.Fatal(err)
		}
		some += len(ps)
		for _, p := range past {
			if pol.Exec(p.Exec, false).Verdict == countersign.Allow && !p.Granted {
				t.Fatalf("%q was denied and would be allowed by\n%s", p.Exec.Argv, suggest.YAML(ps, left))
			}
		}
	}
	if some < 100 {
		t.Errorf("only %d proposals: the test sees too little", some)
	}
}

func TestCommentsCannotBeLeft(t *testing.T) {
	ps, left := from(t, append(yes(3, "make", "a\nversion: 2\n#"), append(yes(3, "rm", "\r\nx: 1"), said(countersign.ByPerson, false, "rm", "\r\nx: 1"))...))
	for i, line := range strings.Split(suggest.YAML(ps, left), "\n") {
		if strings.HasPrefix(line, "version: 2") || strings.HasPrefix(line, "x: 1") {
			t.Errorf("line %d: %s", i+1, line)
		}
	}
	if _, err := parse(ps); err != nil {
		t.Error(err)
	}
}
