package rules

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

const module = "github.com/countersign/countersign"

// may lists, for each room, the rooms it may import besides the root package
// and internal/. A room that is not listed here is not part of the house.
var may = map[string][]string{
	"":                          {},
	"policy":                    {"policy/hosts", "policy/lends", "policy/models", "policy/paths"},
	"policy/hosts":              {},
	"policy/lends":              {},
	"policy/models":             {"policy/fence", "policy/limits"},
	"policy/limits":             {"policy/fence"},
	"policy/fence":              {},
	"policy/history":            {},
	"policy/suggest":            {"policy/history"},
	"policy/paths":              {},
	"diff":                      {},
	"ledger":                    {"ledger/*"},
	"ledger/*":                  {"ledger/*"},
	"gate":                      {"gate/grants"},
	"gate/grants":               {},
	"sandbox":                   {"sandbox/*"},
	"sandbox/execgate":          {"sandbox/seccomp", "sandbox/execgate/names", "sandbox/execgate/held"},
	"sandbox/execgate/held":     {},
	"sandbox/execgate/names":    {"sandbox/seccomp"},
	"sandbox/seatbelt":          {},
	"sandbox/*":                 {"sandbox/seccomp"},
	"workspace":                 {"diff", "workspace/*"},
	"workspace/tree":            {},
	"workspace/review":          {"diff", "workspace/tree", "workspace/apply", "workspace/store"},
	"workspace/apply":           {"diff", "workspace/tree", "workspace/store"},
	"workspace/store":           {},
	"workspace/layer":           {},
	"workspace/survey":          {"workspace/tree", "workspace/gitview", "workspace/layer"},
	"workspace/base":            {"diff", "workspace/tree", "workspace/gitview", "workspace/layer"},
	"workspace/gitrun":          {},
	"workspace/gitstore":        {"workspace/gitrun"},
	"workspace/gittext":         {"workspace/gitrun"},
	"workspace/gitview":         {"workspace/gitrun", "workspace/gitstore", "workspace/gittext", "workspace/objects"},
	"workspace/objects":         {},
	"workspace/commits":         {"workspace/tree", "workspace/gitview", "workspace/objects"},
	"workspace/stage":           {"diff", "workspace/tree", "workspace/gitview", "workspace/commits", "workspace/layer", "workspace/survey", "workspace/base"},
	"workspace/*":               {"diff", "workspace/tree", "workspace/gitview"},
	"gateway":                   {"gateway/*"},
	"gateway/wire":              {},
	"gateway/keys":              {},
	"gateway/scan":              {},
	"gateway/screen":            {"gateway/wire", "gateway/scan"},
	"gateway/scan/*":            {},
	"gateway/*":                 {"gateway/wire"},
	"egress":                    {},
	"session":                   {},
	"export":                    {},
	"tui":                       {"tui/*"},
	"tui/cast":                  {},
	"tui/replay":                {"tui/cast", "tui/visible"},
	"tui/*":                     {"tui/visible", "tui/card"},
	"profile":                   {},
	"cmd/countersign":           {"*"},
	"cmd/countersign/agents":    {"*"},
	"cmd/countersign/asking":    {"*"},
	"cmd/countersign/base":      {"*"},
	"cmd/countersign/advising":  {"*"},
	"cmd/countersign/reading":   {"*"},
	"cmd/countersign/reviewing": {"*"},
	"cmd/countersign/live":      {"*"},
	"cmd/countersign/knowing":   {"*"},
	"cmd/countersign/lending":   {"*"},
	"cmd/countersign/replaying": {"*"},
	"cmd/countersign/serving":   {"*"},
	"cmd/countersign/proving":   {"*"},
	"cmd/countersign/posture":   {"policy", "sandbox"},
	"selftest":                  {},
	"bench":                     {"*"},
	"e2e":                       {"*"},
	"internal/*":                {},
}

// runs lists the rooms that may start programs, and why.
var runs = map[string]string{
	"sandbox":                 "starts the sandbox's own helpers",
	"sandbox/view":            "starts nsd, init and the agent",
	"sandbox/tripwire":        "starts the tripwire server",
	"workspace/gitrun":        "runs git, neutralised",
	"workspace/gitview":       "reads the user's git configuration",
	"workspace/stage":         "runs git, neutralised",
	"gateway/keys":            "runs a configured key command",
	"tui/review":              "starts the person's editor",
	"cmd/countersign":         "looks commands up on PATH",
	"cmd/countersign/base":    "starts the ledger process",
	"cmd/countersign/live":    "starts the terminal's guard",
	"selftest":                "is the attacker, who starts what it attacks with",
	"cmd/countersign/proving": "starts the self-test's session",
}

type pkg struct {
	ImportPath string
	Dir        string
	Name       string
	Imports    []string
	GoFiles    []string
	Doc        string
}

func packages(t *testing.T, goos string) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Name,Imports,GoFiles,Doc", "./...")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var ps []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return ps
		} else if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
}

func room(p string) string { return strings.TrimPrefix(strings.TrimPrefix(p, module), "/") }

func lookup(r string) ([]string, bool) {
	if v, ok := may[r]; ok {
		return v, true
	}
	v, ok := may[filepath.Dir(r)+"/*"]
	return v, ok
}

func allowed(list []string, r string) bool {
	for _, a := range list {
		if a == "*" || a == r || strings.HasSuffix(a, "/*") && strings.HasPrefix(r, strings.TrimSuffix(a, "*")) {
			return true
		}
	}
	return r == "" || strings.HasPrefix(r, "internal/")
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range packages(t, "linux") {
		r := room(p.ImportPath)
		list, ok := lookup(r)
		if !ok {
			t.Errorf("room %q is not in the house: add it to docs/ARCHITECTURE.md and to this table", r)
		}
		for _, imp := range p.Imports {
			if imp == "os/exec" && runs[r] == "" && !strings.HasPrefix(r, "internal/") && r != "bench" && r != "e2e" {
				t.Errorf("%s imports os/exec: it may not start programs", r)
			}
			if r == "" && strings.Contains(strings.Split(imp, "/")[0], ".") {
				t.Errorf("the root package imports %s: standard library only", imp)
			}
			if (imp == module || strings.HasPrefix(imp, module+"/")) && !allowed(list, room(imp)) {
				t.Errorf("%s imports %s: imports point down only", r, room(imp))
			}
		}
	}
}

func TestEveryRoomSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t, "linux") {
		if r := room(p.ImportPath); len(p.Doc) == 0 && len(p.GoFiles) > 0 {
			t.Errorf("room %q has no package comment", r)
		}
	}
}

// The limits keep a room small enough to be read at one sitting.
const (
	maxRoom     = 2500
	maxFile     = 500
	maxFunc     = 60
	maxInternal = 250
)

func TestRoomsStaySmall(t *testing.T) {
	for _, p := range packages(t, "linux") {
		r, total := room(p.ImportPath), 0
		for _, f := range p.GoFiles {
			path := filepath.Join(p.Dir, f)
			n, long := measure(t, path)
			total += n
			if n > maxFile {
				t.Errorf("%s/%s has %d lines, more than %d", r, f, n, maxFile)
			}
			for _, l := range long {
				t.Errorf("%s/%s: %s", r, f, l)
			}
		}
		limit := maxRoom
		if strings.HasPrefix(r, "internal/") {
			limit = maxInternal
		}
		if total > limit {
			t.Errorf("room %q has %d lines, more than %d", r, total, limit)
		}
	}
}

func measure(t *testing.T, path string) (lines int, long []string) {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, src, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if n := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1; n > maxFunc {
			long = append(long, fn.Name.Name+" is too long: split it")
		}
		if fn.Recv == nil && fn.Name.Name == "init" {
			long = append(long, "init: nothing happens on import")
		}
	}
	return strings.Count(string(src), "\n"), long
}

func TestEveryDependencyHasItsReason(t *testing.T) {
	src, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", src, nil)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/DEPENDENCIES.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Require {
		if !r.Indirect && !strings.Contains(string(doc), "`"+r.Mod.Path+"`") {
			t.Errorf("%s has no line in docs/DEPENDENCIES.md", r.Mod.Path)
		}
	}
}

func TestOtherSystemsCompile(t *testing.T) {
	if testing.Short() {
		t.Skip("builds for darwin and windows")
	}
	for _, goos := range []string{"darwin", "windows"} {
		cmd := exec.Command("go", "build", "./cmd/...")
		cmd.Dir = "../.."
		cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", goos, err, out)
		}
	}
}

// A target that is named and has no recipe would end well having done nothing.
func TestEveryTargetDoesSomething(t *testing.T) {
	src, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(src), ".PHONY:")
	named, rest, ok := strings.Cut(after, "\n")
	if !ok || len(strings.Fields(named)) < 5 {
		t.Fatalf("named: %q", named)
	}
	for _, target := range strings.Fields(named) {
		if !strings.Contains(rest, "\n"+target+":") {
			t.Errorf("make %s has no rule", target)
		}
	}
}
