package paths

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/backupname"
	"github.com/countersign/countersign/internal/fold"
)

var anchors = Anchors{Project: "^/p", Home: "^/h"}

// plain is what names and patterns of ASCII are made of: what means something in
// an expression, in a class and to folding is among it.
var plain = strings.Split(`a|A|b|s|ss|S|k|f|fi|t|.| |-|]|^|$|(|)|+|{|}|,|0|~|#|.bak|.swp|.#|.~1~`, "|")

// alike are letters that a file system takes for one another.
var alike = strings.Split("a|s|ſ|S|k|\u212a|é|É|e\u0301|E\u0301|å|\u212b|σ|ς|Σ|ü|.", "|")

func word(r *rand.Rand, of []string) string {
	for {
		var b strings.Builder
		for range 1 + r.IntN(4) {
			b.WriteString(of[r.IntN(len(of))])
		}
		if s := b.String(); strings.Trim(s, ".") != "" && s != "~" {
			return s
		}
	}
}

var wild = []string{"*", "?", "[ab]", "[!a]", "[^s-k]", "[a-z]", "[!]-]", "[k]", `\*`, `\[`}

func pattern(r *rand.Rand, of []string) string {
	if r.IntN(5) == 0 {
		return word(r, of)
	}
	var segs []string
	for range 1 + r.IntN(3) {
		switch r.IntN(6) {
		case 0:
			segs = append(segs, "**")
		case 1:
			segs = append(segs, "*")
		default:
			s := word(r, of)
			if r.IntN(2) == 0 {
				s += wild[r.IntN(len(wild))]
			}
			if r.IntN(3) == 0 {
				s = wild[r.IntN(len(wild))] + s
			}
			segs = append(segs, s)
		}
	}
	return []string{"", "", "/", "~/", "**/"}[r.IntN(5)] + strings.Join(segs, "/") + []string{"", "", "/"}[r.IntN(3)]
}

func path(r *rand.Rand, of []string, like string) string {
	segs := []string{[]string{"p", "h", "e"}[r.IntN(3)]}
	for _, s := range strings.Split(strings.Trim(like, "~/"), "/") {
		switch r.IntN(4) {
		case 0:
			segs = append(segs, word(r, of))
		case 1:
			segs = append(segs, word(r, of), word(r, of))
		}
		s = strings.NewReplacer("**", word(r, of), "*", word(r, of), "?", "b", "[", "", "]", "", "!", "", `\`, "").Replace(s)
		if r.IntN(4) == 0 {
			s = strings.ToUpper(s)
		}
		if r.IntN(8) == 0 {
			s += ". "
		}
		if s != "" && s != "~" && strings.Trim(s, ".") != "" {
			segs = append(segs, s)
		}
	}
	return "/" + strings.Join(segs, "/")
}

// cut is a path as patterns of p see it; those that hold anywhere see all of it.
func cut(p *Pattern, path string) Target {
	roots := Roots{Project: "/p", Home: "/h"}
	if p.Place == Anywhere {
		roots = Roots{}
	}
	return roots.Cut(path, nil)
}

func compiled(t *testing.T, re string) *regexp.Regexp {
	t.Helper()
	for _, no := range []string{"(?", `\d`, `\w`, "\n", "\x00", `\x`} {
		if strings.Contains(re, no) {
			t.Fatalf("%q has %q, which is not everywhere understood", re, no)
		}
	}
	c, err := regexp.Compile(re)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Of names of ASCII, the expression says what the pattern says.
func TestTheExpressionIsThePattern(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	matched, tried := 0, 0
	for range 2000 {
		src := pattern(r, plain)
		p, err := Compile(src)
		if err != nil {
			continue
		}
		deny := p
		deny.dirs = false
		wide, has := deny.Regexp(anchors, AtOrBelow, true)
		if !has {
			wide = "^$"
		}
		narrow, opens := p.Regexp(anchors, AtOrBelow, false)
		if !opens {
			narrow = "^$"
		}
		w, n := compiled(t, wide), compiled(t, narrow)
		for range 20 {
			path := path(r, plain, src)
			want := deny.Covers(cut(&p, path), len(cut(&p, path).Names))
			if got := w.MatchString(path); got != want && (want || !dotted(path)) {
				t.Fatalf("%q, %q: %q says %v, the pattern %v", src, path, wide, got, want)
			}
			want = p.Covers(cut(&p, path), len(cut(&p, path).Names))
			if got := n.MatchString(path); got != want && !dotted(path) {
				t.Fatalf("%q, %q: %q says %v, the pattern %v", src, path, narrow, got, want)
			}
			if tried++; want {
				matched++
			}
		}
	}
	if matched < tried/20 {
		t.Errorf("only %d of %d matched: the paths are too far from the patterns", matched, tried)
	}
}

// dotted reports a name that folding shortens.
func dotted(path string) bool {
	for _, s := range strings.Split(path, "/") {
		if strings.TrimRight(s, ". ") != s {
			return true
		}
	}
	return false
}

// Of other letters, a wide one matches all that the pattern does, and the other no more.
func TestOtherLetters(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		src := pattern(r, alike)
		p, err := Compile(src)
		if err != nil {
			continue
		}
		deny := p
		deny.dirs = false
		wide, has := deny.Regexp(anchors, AtOrBelow, true)
		if !has {
			wide = "^$"
		}
		narrow, opens := p.Regexp(anchors, AtOrBelow, false)
		if !opens {
			narrow = "^$"
		}
		w, n := compiled(t, wide), compiled(t, narrow)
		for range 20 {
			path := path(r, alike, src)
			to := cut(&p, path)
			if deny.Covers(to, len(to.Names)) && !w.MatchString(path) {
				t.Fatalf("%q matches %q, %q does not", src, path, wide)
			}
			if n.MatchString(path) && !p.Covers(to, len(to.Names)) && !dotted(path) {
				t.Fatalf("%q matches %q, the pattern %q does not", narrow, path, src)
			}
		}
	}
}

func TestOneLetterForTwo(t *testing.T) {
	for _, c := range [][2]string{{".ssh", ".ßh"}, {".ssh", ".ẞH"}, {"offline", "oﬄine"}, {"offline", "oﬀLine"}, {"test", "teﬆ"}, {"masse", "maße"}} {
		p, err := Compile(c[0])
		if err != nil {
			t.Fatal(err)
		}
		re, _ := p.Regexp(anchors, AtOrBelow, true)
		if fold.Name(c[1]) != c[0] || !compiled(t, re).MatchString("/x/"+c[1]+"/y") {
			t.Errorf("%s: %s does not match %s", c[0], re, c[1])
		}
	}
	if p, err := Compile("*.ｋey"); err != nil {
		t.Fatal(err)
	} else if re, _ := p.Regexp(anchors, AtOrBelow, true); !compiled(t, re).MatchString("/x/a.ｋey") || !compiled(t, re).MatchString("/x/a.key") {
		t.Errorf("a pattern does not match what is written: %s", re)
	}
	long := strings.Repeat("s", 5000)
	if p, err := Compile(long); err != nil {
		t.Fatal(err)
	} else if re, ok := p.Regexp(anchors, AtOrBelow, true); !ok || len(re) > 100 || !compiled(t, re).MatchString("/"+long) {
		t.Errorf("%d bytes", len(re))
	}
}

// denies is what a rule says of a path, as package policy has it.
func denies(patterns, except []Pattern, files bool, path string) (found, backup bool) {
	find := func(shorten bool) bool {
		for i := range patterns {
			p := &patterns[i]
			t := cut(p, path)
			last := len(t.Names) - 1
			if last < 0 {
				continue
			}
			if shorten {
				original, is := backupname.Of(t.Names[last])
				if !is {
					return false
				}
				t.Names[last] = original
			}
			for j := range t.Names {
				if files && j != last || !p.Last().Match(t.Names[j]) || !p.Before(t.At, t.Names[:j]) {
					continue
				}
				open := false
				for k := range except {
					x := cut(&except[k], path)
					if shorten && len(x.Names) > 0 {
						x.Names[len(x.Names)-1], _ = backupname.Of(x.Names[len(x.Names)-1])
					}
					open = open || except[k].Covers(x, j+1+len(x.Names)-len(t.Names))
				}
				if !open {
					return true
				}
			}
		}
		return false
	}
	return find(false), find(true)
}

// What a rule denies is denied by its expressions, whatever its exceptions; and
// nothing else is but what Denial names.
func TestExceptionsOpenNoMore(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	some := func(n int) (out []Pattern, src []string) {
		for range n {
			s := pattern(r, plain)
			if p, err := Compile(s); err == nil {
				out, src = append(out, p), append(src, s)
			}
		}
		return out, src
	}
	denied, opened := 0, 0
	for range 500 {
		patterns, from := some(1 + r.IntN(3))
		except, without := some(r.IntN(3))
		files := r.IntN(3) == 0
		if len(patterns) == 0 {
			continue
		}
		d := anchors.Denial(patterns, except, files)
		if any1(t, d.Match, "/p") || any1(t, d.Match, "/h") {
			continue // a session cannot lie there
		}
		for range 30 {
			like := from[r.IntN(len(from))]
			if len(without) > 0 && r.IntN(2) == 0 {
				like = without[r.IntN(len(without))] + "/" + like
			}
			if len(without) > 0 && r.IntN(3) == 0 {
				like += "/" + without[r.IntN(len(without))]
			}
			path := path(r, plain, like)
			found, backup := denies(patterns, except, files, path)
			match := any1(t, d.Match, path) && !any1(t, d.Except, path)
			all := match || any1(t, d.Under, path) || any1(t, d.Backup, path) && !any1(t, d.BackupExcept, path)
			if found || backup {
				denied++
			} else if any1(t, d.Match, path) {
				opened++
			}
			if (found || backup) && !all && !dotted(path) {
				t.Fatalf("%q except %q (files %v) deny %q, %+v does not", from, without, files, path, d)
			}
			if match && !found && !dotted(path) {
				t.Fatalf("%q except %q (files %v) do not deny %q, %+v does", from, without, files, path, d)
			}
		}
	}
	if denied < 500 || opened < 100 {
		t.Errorf("%d denied, %d opened: too few", denied, opened)
	}
}

var cache = map[string]*regexp.Regexp{}

func any1(t *testing.T, list []string, path string) bool {
	t.Helper()
	for _, re := range list {
		c := cache[re]
		if c == nil {
			c = compiled(t, re)
			cache[re] = c
		}
		if c.MatchString(path) {
			return true
		}
	}
	return false
}

// A directory whose new name a pattern would not know is not to be moved.
func TestMoves(t *testing.T) {
	for src, want := range map[string]string{
		".env":         "",
		"**/.aws/*":    "/x/.AWS",
		"/db/dumps/":   "/p/db",
		"**/a/**/keys": "/x/a /x/a/b /x/a/b/c",
	} {
		p, err := Compile(src)
		if err != nil {
			t.Fatal(err)
		}
		list := p.moves(anchors)
		for _, dir := range strings.Fields(want) {
			if !any1(t, list, dir) {
				t.Errorf("%s: %s may be moved: %q", src, dir, list)
			}
		}
		for _, dir := range []string{"/x", "/p", "/x/b", "/p/db/dumps"} {
			if any1(t, list, dir) {
				t.Errorf("%s: %s may not be moved: %q", src, dir, list)
			}
		}
	}
}

// What a root above a project says of it is what In says from the project.
func TestFromTheRootAbove(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	said := 0
	for range 2000 {
		below := word(r, plain)
		src := pattern(r, plain)
		if r.IntN(2) == 0 {
			src = "/" + below + "/" + strings.TrimLeft(src, "~/")
		}
		p, err := Compile(src)
		if err != nil || p.Place == InHome {
			continue
		}
		p.dirs = false
		for range 10 {
			rel := strings.TrimPrefix(path(r, plain, src), "/")
			t1 := Roots{}.Cut(below+"/"+rel, nil)
			want := p.Covers(t1, len(t1.Names))
			got := false
			for _, q := range p.In(below, false) {
				t2 := Roots{}.Cut(rel, nil)
				got = got || q.Covers(t2, len(t2.Names))
			}
			if got != want {
				t.Fatalf("%q: %q below %q: %v, want %v", src, rel, below, got, want)
			}
			if want {
				said++
			}
		}
	}
	if said < 300 {
		t.Errorf("only %d matched", said)
	}
}
