package policy

import (
	"fmt"
	"math/rand"
	"os"
	"strings"
	"testing"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/policy/paths"
)

var rank = map[countersign.Verdict]int{countersign.Allow: 1, countersign.Ask: 2, countersign.Deny: 3}

// world makes random policies and questions out of few words, so that rules
// meet questions and each other.
type world struct {
	r *rand.Rand
	n int // for ids
}

func (w *world) pick(words ...string) string { return words[w.r.Intn(len(words))] }

func (w *world) id() string {
	w.n++
	return fmt.Sprintf("r%d", w.n)
}

func (w *world) document(t *testing.T, l Layer) *Document {
	var b strings.Builder
	verdicts := []string{"deny", "ask", "allow"}
	if l == LayerProject {
		verdicts = verdicts[:2]
	}
	b.WriteString("commands:\n")
	for range w.r.Intn(5) {
		verdict := w.pick(verdicts...)
		extra := ""
		if verdict == "ask" && w.r.Intn(3) == 0 {
			extra = ", at: any-depth"
		}
		if verdict == "allow" && w.r.Intn(3) == 0 {
			extra = ", env: [A]"
		}
		prog := w.pick("git", "go", "g*", "sh", "/usr/bin/git")
		args := w.pick("", `, "..."`, `, push`, `, "p*"`, `, push, "..."`, `, "*", "..."`)
		fmt.Fprintf(&b, "  - {id: %s, verdict: %s, argv: [%q%s], reason: r%s}\n", w.id(), verdict, prog, args, extra)
	}
	if strings.HasSuffix(b.String(), "commands:\n") {
		b.Reset()
	}
	b.WriteString("network:\n")
	for range 1 + w.r.Intn(3) {
		fmt.Fprintf(&b, "  - {id: %s, verdict: %s, host: %q, port: 443, reason: r}\n", w.id(), w.pick(verdicts...), w.pick("a.x", "*.x", "b.x"))
	}
	fmt.Fprintf(&b, "files:\n  deny: [{id: %s, paths: [%q], reason: r}]\n", w.id(), w.pick("a", "*.x", "/b", "a/b", "~/c", "**/b/"))
	fmt.Fprintf(&b, "models: {deny: [%q]}\n", w.pick("p/a", "*/b", "q/*"))
	return parse(t, l, b.String())
}

func (w *world) exec() *countersign.Exec {
	prog := w.pick("git", "go", "sh", "x")
	e := run(append([]string{prog}, strings.Fields(w.pick("", "push", "push x", "y", "pull x y"))...)...)
	e.Writable = w.r.Intn(4) == 0
	if w.r.Intn(4) == 0 {
		e.Delta = []countersign.EnvChange{{Name: w.pick("A", "B", "PWD")}}
	}
	if w.r.Intn(4) == 0 {
		e.Exe.Path = "/usr/bin/" + w.pick("git", "go")
	}
	return e
}

func rounds() int {
	if os.Getenv("COUNTERSIGN_LONG") != "" {
		return 50000
	}
	return 2000
}

// Whatever the order of rules and layers, the strictest that holds wins.
func TestDenyWinsUnderAnyPermutation(t *testing.T) {
	w := &world{r: rand.New(rand.NewSource(1))}
	verdicts := map[countersign.Verdict]int{}
	for range rounds() {
		docs := []*Document{w.document(t, LayerOrganisation), w.document(t, LayerUser), w.document(t, LayerProject)}
		p := compile(t, docs...)
		w.r.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
		for _, d := range docs {
			w.r.Shuffle(len(d.Cmds), func(i, j int) { d.Cmds[i], d.Cmds[j] = d.Cmds[j], d.Cmds[i] })
			net := d.Net.Network
			w.r.Shuffle(len(net), func(i, j int) { net[i], net[j] = net[j], net[i] })
		}
		q := compile(t, docs...)
		for range 8 {
			e, covered := w.exec(), w.r.Intn(2) == 0
			got := p.Exec(e, covered)
			if x := q.Exec(e, covered); x.Verdict != got.Verdict {
				t.Fatalf("%v: %s and, in another order, %s", e.Argv, got.Verdict, x.Verdict)
			}
			if want := strictest(p, e, covered); got.Verdict != want {
				t.Fatalf("%v: %s, but the strictest rule that holds says %s", e.Argv, got.Verdict, want)
			}
			verdicts[got.Verdict]++
			host := w.pick("a.x", "b.x", "c.x", "x")
			if a, b := p.Host(host, 443), q.Host(host, 443); a.Verdict != b.Verdict {
				t.Fatalf("%s: %s and, in another order, %s", host, a.Verdict, b.Verdict)
			}
		}
	}
	for _, v := range []countersign.Verdict{countersign.Deny, countersign.Ask, countersign.Allow} {
		if verdicts[v] < 100 {
			t.Errorf("only %d questions ended in %s: the test sees too little", verdicts[v], v)
		}
	}
}

// strictest is the rule of the design, said without an index or a score.
func strictest(p *Policy, e *countersign.Exec, covered bool) countersign.Verdict {
	out := countersign.Verdict("")
	for i := range p.exec.rules {
		r := &p.exec.rules[i]
		if covered && r.Verdict != countersign.Deny && r.At != "any-depth" {
			continue
		}
		if p.holds(r, e) == "" {
			out = countersign.Stricter(out, r.Verdict)
		}
	}
	switch {
	case out != "":
		return out
	case covered:
		return countersign.Allow
	}
	return countersign.Ask
}

// A project's layer never makes an answer looser.
func TestAProjectOnlyTightens(t *testing.T) {
	w := &world{r: rand.New(rand.NewSource(2))}
	tighter := 0
	for range rounds() {
		docs := []*Document{w.document(t, LayerOrganisation), w.document(t, LayerUser)}
		without := compile(t, docs...)
		with := compile(t, append(docs, w.document(t, LayerProject))...)
		compare := func(what string, a, b countersign.Verdict) {
			if rank[b] < rank[a] {
				t.Fatalf("%s: %s without the project's layer, %s with it", what, a, b)
			}
			if rank[b] > rank[a] {
				tighter++
			}
		}
		for range 6 {
			e, covered := w.exec(), w.r.Intn(2) == 0
			compare(strings.Join(e.Argv, " "), without.Exec(e, covered).Verdict, with.Exec(e, covered).Verdict)
		}
		for _, h := range []string{"a.x", "b.x", "c.x"} {
			compare(h, without.Host(h, 443).Verdict, with.Host(h, 443).Verdict)
		}
		for _, path := range []string{"a", "b", "c.x", "a/b", "x/b/y", "~/c", "~/a"} {
			_, a := without.Path(path)
			_, b := with.Path(path)
			if a && !b {
				t.Fatalf("%s: denied without the project's layer, open with it", path)
			}
		}
		compare("model", without.Model("p", "a").Verdict, with.Model("p", "a").Verdict)
	}
	if tighter < 100 {
		t.Errorf("only %d answers became tighter: the test sees too little", tighter)
	}
}

// The index must find what a scan of all patterns finds.
func TestIndexFindsWhatAScanFinds(t *testing.T) {
	p := builtIn(t)
	w := &world{r: rand.New(rand.NewSource(3))}
	words := []string{".env", ".ssh", "a", "b.pem", "id_x", "secrets", "x.json", "my-secrets.json", "node_modules", "testdata", ".docker", "config.json", ".aws", "config", ".config", "gh", "credentials", "Cookies", ".env.example", "~", ""}
	for range rounds() * 5 {
		parts := []string{}
		for range 1 + w.r.Intn(5) {
			parts = append(parts, w.pick(words...))
		}
		path := strings.Join(parts, "/")
		c := p.roots.Cut(path, nil)
		scan := false
		for j := range c.Names {
			for i := range p.deny.entries {
				scan = scan || p.deny.hits(int32(i), c, j)
			}
		}
		if _, denied := p.Path(path); denied != scan {
			t.Fatalf("%s: denied %v, by a scan %v", path, denied, scan)
		}
	}
}

// Spelling a name otherwise never opens it.
func TestSpellingNeverOpens(t *testing.T) {
	p := builtIn(t)
	w := &world{r: rand.New(rand.NewSource(4))}
	names := []string{".env", "id_rsa", "server.pem", ".ssh", "secrets.json", "credentials", ".netrc", "Cookies", "prod.tfvars"}
	for range rounds() {
		name := names[w.r.Intn(len(names))]
		var b strings.Builder
		for _, c := range name {
			if w.r.Intn(3) == 0 {
				b.WriteString(w.pick("\u200b", "\u200d", "\ufe0f", "\u00ad", "\u2060", "\ufeff", "\u202e"))
			}
			switch {
			case c >= '!' && c <= '~' && w.r.Intn(4) == 0:
				b.WriteRune(c + 0xfee0) // full width
			case w.r.Intn(2) == 0:
				b.WriteString(strings.ToUpper(string(c)))
			default:
				b.WriteRune(c)
			}
		}
		if _, denied := p.Path("d/" + b.String()); !denied {
			t.Fatalf("%+q is open", b.String())
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	for _, n := range presetNames {
		src, _ := PresetSource(n)
		f.Add(src)
	}
	for _, s := range []string{"", "version: 1\n", "version: 1\nfiles: {deny: [{id: a, paths: [\"**/a/[!b]*\"], reason: r}]}\n", "a: &b [*b]", "- - - ? :", "{", "version: 1\n<<: {}\n", "\x00", "%YAML 1.2\n---\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		d, err := Parse(LayerUser, "p", src)
		if err != nil {
			if countersign.CodeOf(err) != countersign.EInvalid {
				t.Fatalf("code %s: %v", countersign.CodeOf(err), err)
			}
			return
		}
		p, err := Compile(d)
		if err != nil {
			if countersign.CodeOf(err) != countersign.EInvalid {
				t.Fatalf("code %s: %v", countersign.CodeOf(err), err)
			}
			return
		}
		p.Exec(run("git", "push"), false)
		p.Path("a/b")
		p.Host("a", 1)
		p.Model("a", "b")
		again, err := Parse(LayerUser, "q", src)
		if err != nil || compile(t, again).Bundle() != p.Bundle() {
			t.Fatal("the same text twice is not the same policy")
		}
	})
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{".env", "a/../.env", "~/x", "/..//", "~", "a/\xff/.ssh", "..", "../../x", ".\u200benv"} {
		f.Add(s, "**/a/*b")
	}
	p := builtIn(f)
	f.Fuzz(func(t *testing.T, path, pattern string) {
		_, denied := p.Path(path)
		if _, again := p.Path(path + "/x"); denied && !again && !p.deny.entries[first(p, path)].files {
			t.Fatalf("%q is denied and what lies below it is open", path)
		}
		if x := p.ExplainPath(path); (x.Verdict == countersign.Deny) != denied {
			t.Fatalf("explain says %s", x.Verdict)
		}
		if c, err := paths.Compile(pattern); err == nil && len(pattern) < 60 {
			n := p.roots.Cut(path, nil)
			c.Covers(n, len(n.Names))
		}
	})
}

func first(p *Policy, path string) int32 {
	i, _ := p.deny.find(p.roots.Cut(path, nil))
	return i
}
