package scan

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sources is the code of this project, and what tools make.
func sources(t testing.TB) map[string]string {
	t.Helper()
	var code strings.Builder
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != "." {
			return fs.SkipDir
		}
		if ext := filepath.Ext(path); err != nil || d.IsDir() || ext != ".go" && ext != ".md" && ext != ".yaml" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := fs.ReadFile(root, path)
		code.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile("../../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"the project's code and documents": code.String(), "go.sum": string(sums), "package-lock.json": lockFile(), "minified": minified()}
}

func lockFile() string {
	var b strings.Builder
	b.WriteString("{\n  \"name\": \"x\",\n  \"lockfileVersion\": 3,\n  \"packages\": {\n")
	for i := range uint64(600) {
		fmt.Fprintf(&b, "    \"node_modules/token-api-%d\": {\n      \"version\": \"1.%d.0\",\n      \"resolved\": \"https://packages.example.com/pkg/-/pkg-1.%d.0.tgz\",\n      \"integrity\": \"sha512-%s==\",\n      \"license\": \"MIT\"\n    },\n", i, i, i, random(i, alnum+"+/", 86))
	}
	return b.String()
}

// minified is what a bundler makes: short names, long lines, words of all kinds.
func minified() string {
	r := rand.New(rand.NewPCG(1, 2))
	words := []string{"key", "token", "auth", "apiKey", "access", "secret", "credentials", "password", "value", "type", "e", "t", "n", "Symbol", "length"}
	var b strings.Builder
	for range 20_000 {
		a, c := words[r.IntN(len(words))], words[r.IntN(len(words))]
		switch r.IntN(6) {
		case 0:
			fmt.Fprintf(&b, "%s.%s=function(%s){return this.%s(%d)},", a, c, a, c, r.IntN(1e6))
		case 1:
			fmt.Fprintf(&b, "if(%s===\"%s\"&&%s[%d])throw new Error(\"%s must be %s\");", a, c, a, r.IntN(99), a, c)
		case 2:
			fmt.Fprintf(&b, "var %s%d={%s:\"%s-%s\",%s:!0};", a, r.IntN(99), a, c, a, c)
		case 3:
			fmt.Fprintf(&b, "%s=%s?%s.%s:void 0;", a, c, c, a)
		case 4:
			fmt.Fprintf(&b, "o(\"%s:%s\",%s.%sSync)||", a, c, a, c)
		default:
			fmt.Fprintf(&b, "const{%s:%s%d,%s:r}=%s;", a, c, r.IntN(99), c, a)
		}
	}
	return b.String()
}

// Ordinary files hold next to nothing: what a rule that edits finds there would
// break the code.
func TestOrdinaryFiles(t *testing.T) {
	s := newScanner(t)
	for name, text := range sources(t) {
		sure, low := 0, 0
		for _, f := range s.must(t, text) {
			if f.Low {
				low++
				continue
			}
			sure++
			t.Logf("%s: %s %q", name, f.Rule, text[f.From:f.To])
		}
		t.Logf("%s: %d bytes, %d of sure rules, %d of others", name, len(text), sure, low)
		if sure > 2 || low > 5 {
			t.Errorf("%s: %d hits of sure rules, %d of others", name, sure, low)
		}
	}
}

// Nothing that quick turns away would be found.
func TestQuickIsNeverWrong(t *testing.T) {
	texts := []string{}
	r, err := rules()
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(40) {
		texts = append(texts, prose(seed, 300))
	}
	for _, text := range append(texts, minified()) {
		v := view{text, true, true}
		r.words.run(0, text, func(end int, w word) bool {
			for _, i := range r.byWord[w.id] {
				one, p := &r.list[i], end-w.size
				if !one.quick(text, p, w.size) {
					one.at(v, p, func(m place) {
						t.Errorf("%s: quick misses %q in %q", one.ID, text[m.from:m.to], text[max(0, p-20):m.to])
					})
				}
			}
			return true
		})
	}
}

// Every rule compiles, and its keywords stand where they are looked for.
func TestRules(t *testing.T) {
	s := newScanner(t)
	all, err := rules()
	if err != nil {
		t.Fatal(err)
	}
	if len(all.list) < 220 || !strings.Contains(s.Version(), "gitleaks/v8@v8.30.1") {
		t.Errorf("%d rules of %s", len(all.list), s.Version())
	}
	doc, err := os.ReadFile("../../docs/secrets.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all.Names() {
		if !strings.Contains(string(doc), "`"+name+"`") {
			t.Errorf("docs/secrets.md does not name %s", name)
		}
	}
	seen := map[string]bool{}
	for i := range all.list {
		r := &all.list[i]
		if seen[r.ID] || placeholderForm().FindString(s.placeholder(r.ID, s.id("x"))) == "" {
			t.Errorf("%s is there twice, or has no placeholder", r.ID)
		}
		seen[r.ID] = true
		r.first()
		r.later()
		for _, k := range r.Keywords {
			if k != strings.ToLower(k) || len(k) < 2 {
				t.Errorf("%s: keyword %q", r.ID, k)
			}
		}
	}
}

func FuzzText(f *testing.F) {
	for _, secret := range secrets() {
		f.Add("a "+secret+" b", uint16(3))
	}
	f.Add("%41%%4", uint16(1))
	f.Add(`{"a":"\u00`, uint16(2))
	f.Add(strings.Repeat("QUFB", 20)+"\n"+strings.Repeat("QUFB", 20)+"=\n", uint16(9))
	s := newScanner(f)
	s.Learn(DeniedFile, "x", "a value that is known")
	f.Fuzz(func(t *testing.T, text string, cut uint16) {
		found, err := s.Text(text, NewBudget(len(text)))
		if err != nil {
			return
		}
		last := 0
		for _, x := range found {
			if x.From < last || x.To <= x.From || x.To > len(text) || x.Placeholder == "" {
				t.Fatalf("%+v of %q", x, text)
			}
			last = x.To
		}
		st := s.Stream(func(string, bool) bool { return true })
		n := min(len(text), int(cut))
		st.Feed(text[:n])
		st.Feed(text[n:])
		got, err := st.End()
		var all []Finding
		if s.plain(text, NewBudget(len(text)), func(f Finding) { all = append(all, f) }) == nil && err == nil && len(s.settle("", all)) != len(got) {
			t.Fatalf("%d in pieces of %q", len(got), text)
		}
	})
}

func BenchmarkText(b *testing.B) {
	all := sources(b)
	code := all["the project's code and documents"]
	for _, c := range []struct{ name, text string }{{"code-8KB", code[:8<<10]}, {"code-48KB", code[:48<<10]}, {"code-256KB", code[:256<<10]}, {"code-1MB", code[:1<<20]}, {"lock", all["package-lock.json"]}, {"minified", all["minified"]}} {
		b.Run(c.name, func(b *testing.B) {
			s := newScanner(b)
			for i := range 300 {
				s.Learn(DeniedFile, "x", random(uint64(i), alnum, 30))
			}
			s.must(b, c.text)
			b.SetBytes(int64(len(c.text)))
			for b.Loop() {
				s.must(b, c.text)
			}
		})
	}
	// The next turn of a conversation of 1 MB: 200 blocks that were seen, one new.
	b.Run("next-turn-1MB", func(b *testing.B) {
		s := newScanner(b)
		var blocks [][]byte
		for i := range 200 {
			blocks = append(blocks, []byte(code[i*5000:i*5000+5000]))
		}
		b.SetBytes(1_000_000)
		for b.Loop() {
			for _, raw := range blocks {
				if _, err := s.Block(raw, func() string { return string(raw) }, NewBudget(len(raw))); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("stream", func(b *testing.B) {
		s := newScanner(b)
		b.SetBytes(64 << 10)
		for b.Loop() {
			st := s.Stream(func(string, bool) bool { return true })
			for i := 0; i < 64<<10; i += 16 {
				st.Feed(code[i : i+16])
				st.Held()
			}
			if _, err := st.End(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
