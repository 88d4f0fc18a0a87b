package rules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// ban is something that no code may use but that of a few rooms, tests apart.
type ban struct {
	pkg   string
	names []string // of the package; none: to import it at all. A trailing * matches the rest
	only  string   // rooms that it is held to, "a b/*"; empty: all
	why   string
	not   map[string]string // rooms that may, and why
}

// anything is where the bans on what a program does at large do not hold.
var anything = map[string]string{"bench": "measures", "e2e": "is a test", "cmd/*": "is what hands things on"}

var bans = []ban{
	{pkg: "io/ioutil", why: "gone"},
	{pkg: "github.com/stretchr/testify", why: "standard library and go-cmp"},
	{pkg: "log", why: "log/slog, passed in", not: map[string]string{
		"cmd/countersign": "silences net/http", "cmd/countersign/serving": "net/http's ErrorLog is one",
	}},
	{pkg: "os", names: []string{"Getenv", "LookupEnv", "Environ"}, why: "the environment is passed in; only cmd reads it", not: with(anything, map[string]string{
		"gateway/keys": "the default where nobody passes one in",
		"selftest":     "is a program of its own, inside the sandbox",
	})},
	{pkg: "time", names: []string{"Sleep"}, why: "wait for what you wait for", not: with(anything, map[string]string{
		"gate":   "the outcomes of what is dead come when they come, within a limit",
		"ledger": "another process's file grows; a full table of descriptors empties; records gather before a flush",
	})},
	{pkg: "fmt", names: []string{"Print*"}, why: "stdout is data: write to the writer you were given", not: anything},
	{pkg: "", names: []string{"print", "println"}, why: "write to the writer you were given", not: anything},
	{only: "policy policy/* diff", pkg: "os", why: "pure rooms do no I/O"},
	{only: "policy policy/* diff", pkg: "net", why: "pure rooms do no I/O"},
	{only: "policy policy/* diff", pkg: "net/http", why: "pure rooms do no I/O"},
	{only: "policy policy/* diff", pkg: "os/exec", why: "pure rooms start nothing"},
	{only: "policy policy/* diff", pkg: "syscall", why: "pure rooms do no I/O"},
	{only: "policy policy/* diff", pkg: "crypto/rand", why: "equal inputs give equal answers"},
	{only: "policy policy/* diff", pkg: "math/rand*", why: "equal inputs give equal answers"},
	{only: "policy policy/* diff", pkg: "time", names: []string{"Now", "Since", "Until", "Sleep", "After*", "NewT*", "Tick", "Local*"}, why: "pure rooms have no clock"},
	{only: "gate gate/*", pkg: "os/exec", why: "the gate starts nothing"},
	{only: "gate gate/*", pkg: "net/http", why: "the gate dials nobody"},
	{only: "gate gate/*", pkg: "net", names: []string{"Dial*", "Listen*", "Lookup*", "Resolver", "DefaultResolver", "FileConn", "FileListener"}, why: "the gate dials nobody"},
}

func with(a, b map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range []map[string]string{a, b} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

// within reports whether a room is one of a list, in which x/* are those below x.
func within(list, r string) bool {
	for _, l := range strings.Fields(list) {
		above, open := strings.CutSuffix(l, "*")
		if l == r || open && strings.HasPrefix(r, above) {
			return true
		}
	}
	return false
}

func (b ban) holds(r string) bool {
	for room := range b.not {
		if within(room, r) {
			return false
		}
	}
	return b.only == "" || within(b.only, r)
}

func matches(pattern, s string) bool {
	prefix, open := strings.CutSuffix(pattern, "*")
	return pattern == s || open && strings.HasPrefix(s, prefix)
}

// uses says what a file does that the ban is on: a line and what stands there.
func (b ban) uses(fset *token.FileSet, f *ast.File) (out []string) {
	at := func(n ast.Node, what string) {
		out = append(out, strconv.Itoa(fset.Position(n.Pos()).Line)+": "+what)
	}
	as := map[string]bool{} // what the package is called in the file
	for _, imp := range f.Imports {
		path, _ := strconv.Unquote(imp.Path.Value)
		if b.pkg == "" || !matches(b.pkg, path) && !strings.HasPrefix(path, b.pkg+"/v") {
			continue
		}
		if len(b.names) == 0 {
			at(imp, "imports "+path)
		}
		if imp.Name != nil {
			as[imp.Name.Name] = true
		} else {
			as[path[strings.LastIndexByte(path, '/')+1:]] = true
		}
	}
	named := func(name string) bool {
		for _, n := range b.names {
			if matches(n, name) {
				return true
			}
		}
		return false
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && as[x.Name] && named(n.Sel.Name) {
				at(n, x.Name+"."+n.Sel.Name)
			}
		case *ast.CallExpr:
			if fn, ok := n.Fun.(*ast.Ident); ok && b.pkg == "" && named(fn.Name) {
				at(n, fn.Name)
			}
		}
		return true
	})
	return out
}

// What a room may not use it does not use, on any system.
func TestNothingForbiddenIsUsed(t *testing.T) {
	seen := map[string]bool{}
	for _, goos := range []string{"linux", "darwin", "windows"} {
		for _, p := range packages(t, goos) {
			for _, name := range p.GoFiles {
				path := filepath.Join(p.Dir, name)
				if seen[path] {
					continue
				}
				seen[path] = true
				fset := token.NewFileSet()
				f, err := parser.ParseFile(fset, path, nil, 0)
				if err != nil {
					t.Fatal(err)
				}
				for _, b := range bans {
					if !b.holds(room(p.ImportPath)) {
						continue
					}
					for _, use := range b.uses(fset, f) {
						t.Errorf("%s/%s:%s: %s", room(p.ImportPath), name, use, b.why)
					}
				}
			}
		}
	}
	if len(seen) < 300 {
		t.Errorf("only %d files were looked at", len(seen))
	}
}

// A ban sees what it is on, whatever the file calls the package.
func TestBansSeeWhatTheyAreOn(t *testing.T) {
	src := `package x
import (
	"fmt"
	clock "time"
	"io/ioutil"
	"math/rand/v2"
)
func f() { fmt.Println(); clock.Sleep(1); println(ioutil.Discard); rand.Int(); fmt.Fprintln(nil); _ = clock.Second }
`
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "x.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range bans {
		if b.holds("policy/x") {
			got = append(got, b.uses(fset, f)...)
		}
	}
	want := "5: imports io/ioutil; 8: clock.Sleep; 8: fmt.Println; 8: println; 6: imports math/rand/v2; 8: clock.Sleep"
	if strings.Join(got, "; ") != want {
		t.Errorf("seen: %s", strings.Join(got, "; "))
	}
}
