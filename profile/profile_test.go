package profile

import (
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign"
)

func load(t testing.TB) []*Profile {
	t.Helper()
	all, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func of(t testing.TB, name string) *Profile {
	t.Helper()
	p, err := For(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEveryProfile(t *testing.T) {
	for _, name := range []string{"claude", "codex", "opencode", "gemini", "qwen", "cline", "copilot", "aider", "pi", "continue", "goose", "crush", "cursor"} {
		if p := of(t, name); p.Name != name {
			t.Errorf("%s has no profile", name)
		}
	}
	taken := map[string]string{}
	for _, p := range load(t) {
		for _, n := range p.Found.Names {
			if taken[n] != "" || strings.ContainsAny(n, "/ ") {
				t.Errorf("%s: the name %q is %s's", p.Name, n, taken[n])
			}
			taken[n] = p.Name
			if got := of(t, n); got.Name != p.Name {
				t.Errorf("%s is taken for %s", n, got.Name)
			}
		}
		if p.Ungoverned != "" {
			if len(p.Rules)+len(p.Wrappers)+len(p.Env)+len(p.Files) > 0 {
				t.Errorf("%s cannot be governed, and has settings", p.Name)
			}
			continue
		}
		if len(p.Keeps) == 0 {
			t.Errorf("%s keeps its state nowhere", p.Name)
		}
		ids := map[string]bool{}
		for _, r := range p.Rules {
			if ids[r.ID] {
				t.Errorf("%s is there twice", r.ID)
			}
			ids[r.ID] = true
			harmless(t, r)
		}
	}
}

// looks are the programs, and git's own commands, that housekeeping may be.
var (
	looks    = []string{"git", "env", "getconf", "lsb_release", "getopt", "uname", "bash", "sh", "cut", "tr", "head", "hostname", "cat", "copilot"}
	gitLooks = []string{"config", "rev-parse", "log", "status", "remote", "ls-files", "rev-list", "worktree", "symbolic-ref", "for-each-ref", "branch", "--version", "version"}
)

// harmless holds a rule to what lets nothing happen.
func harmless(t *testing.T, r Rule) {
	t.Helper()
	if r.Verdict != countersign.Allow {
		return
	}
	if wild(r.Argv) != "" || !slices.Contains(looks, r.Argv[0]) {
		t.Errorf("%s: %q", r.ID, r.Argv)
	}
	if sh := strings.Join(r.Argv, " "); (r.Argv[0] == "bash" || r.Argv[0] == "sh") && sh != "bash -c env" && sh != "sh -c git rev-parse --is-inside-work-tree" && !strings.HasPrefix(sh, "sh -c ( cat /var/lib/dbus/machine-id /etc/machine-id ") {
		t.Errorf("%s: a shell with a text: %q", r.ID, r.Argv)
	}
	if r.Argv[0] == "git" {
		i := 1
		for i < len(r.Argv) && strings.HasPrefix(r.Argv[i], "-") && !strings.HasSuffix(r.Argv[i], "version") {
			if r.Argv[i] == "-c" || r.Argv[i] == "-C" && r.Argv[i+1] == "<<project>>" {
				i++
			}
			i++
		}
		if i >= len(r.Argv) || !slices.Contains(gitLooks, r.Argv[i]) {
			t.Errorf("%s: git does more than look: %q", r.ID, r.Argv)
			return
		}
		if cmd := r.Argv[i]; cmd == "status" {
			if !slices.ContainsFunc(r.Argv, func(w string) bool { return w == "core.fsmonitor=" || w == "core.fsmonitor=false" }) {
				t.Errorf("%s: the repository's monitor of files is not off: %q", r.ID, r.Argv)
			}
		}
		if cmd := r.Argv[i]; cmd == "worktree" && r.Argv[i+1] != "list" || cmd == "branch" && strings.Join(r.Argv[i+1:], " ") != "-v -a" || cmd == "remote" && len(r.Argv) > i+1 && r.Argv[i+1] != "get-url" && r.Argv[i+1] != "-v" {
			t.Errorf("%s: %q", r.ID, r.Argv)
		}
		if n := len(r.Argv) - i; r.Argv[i] == "config" && n > 2 && !slices.Contains(r.Argv, "--get") && !slices.Contains(r.Argv, "--list") {
			t.Errorf("%s: sets a key: %q", r.ID, r.Argv)
		}
	}
	for _, n := range r.Env {
		if strings.HasPrefix(n, "LD_") || n == "HOME" || n == "BASH_ENV" || n == "ENV" || strings.HasSuffix(n, "PAGER") {
			t.Errorf("%s: %s may not differ", r.ID, n)
		}
	}
}

func TestTheDoorIsFilledIn(t *testing.T) {
	standard, err := Standard()
	if err != nil {
		t.Fatal(err)
	}
	d := Door{URL: "http://127.0.0.1:4141", Token: "cs-" + strings.Repeat("t", 40), Home: "/h"}
	for _, p := range append(load(t), standard) {
		text := strings.Join(p.Environment(d, standard), "\n")
		for _, f := range p.Settings(d) {
			text += f.Content
		}
		if strings.Contains(text, "<<") {
			t.Errorf("%s: a place is left: %s", p.Name, text)
		}
		if p.Ungoverned == "" && (!strings.Contains(text, d.URL) || !strings.Contains(text, d.Token)) {
			t.Errorf("%s is not told where the gateway is", p.Name)
		}
	}
	if p := of(t, "bash"); p.Name != Default {
		t.Errorf("bash has the profile %s", p.Name)
	}
	for command, want := range map[string]string{"/usr/bin/cn": "continue", "./agent.sh": "agent", "claude": "claude", "/x/codex.js": "codex", "/usr/bin/default": "default", "..": ".."} {
		if got := NameOf(command); got != want {
			t.Errorf("%s is called %s", command, got)
		}
	}
}

const small = "version: 1\nname: x\ntitle: X\nfound: {names: [x]}\nsandbox: none\npatience: long\n"

func TestFaultsSayWhere(t *testing.T) {
	for text, want := range map[string]string{
		small + "colour: red\n":          `x.yaml:7:1: profile: unknown field "colour"`,
		small + "env: [A]\n":             "x.yaml:7:7: env: \"A\" is no variable",
		small + "env: [\"A=<<key>>\"]\n": "nothing fills",
		small + "env: [LD_PRELOAD=x]\n":  "is no variable",
		small + "home: {keeps: [../y]}":  "is no path below the home",
		small + "housekeeping: [{commands: [{id: a, argv: [git, '*'], reason: r}]}]":            "leaves open what runs",
		small + "housekeeping: [{begin: [git], commands: [{id: a, argv: ['...'], reason: r}]}]": "leaves open what runs",
		small + "housekeeping: [{env: [LD_X], commands: [{id: a, argv: [env], reason: r}]}]":    "may not differ",
		small + "housekeeping: [{env: [A_9..1], commands: [{id: a, argv: [env], reason: r}]}]":  "counts nothing",
		small + "wrappers: [{argv: [sh, -c], does: d}]":                                         "0 places are the command's",
		small + "wrappers: [{argv: [sh, '<<command>><<hex>>'], does: d}]":                       "two places touch",
		small + "wrappers: [{argv: [sh, '<<nothing>>', '<<command>>'], does: d}]":               "nothing takes <<nothing>>",
		strings.Replace(small, "name: x", "name: y", 1):                                         "stands in x.yaml",
		strings.Replace(small, "sandbox: none\n", "", 1):                                        "needs sandbox",
		strings.Replace(small, "version: 1", "version: 2", 1):                                   "must be a whole number from 1 to 1",
	} {
		if _, err := Parse("x.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	p, err := Parse("x.yaml", []byte(small+"housekeeping: [{env: [A_0..2, B], begin: [git], commands: [{id: a, argv: [version], reason: r}]}]"))
	if err != nil || strings.Join(p.Rules[0].Env, " ") != "A_0 A_1 A_2 B" || strings.Join(p.Rules[0].Argv, " ") != "git version" || p.Rules[0].ID != "agent-x-a" {
		t.Errorf("%+v %v", p, err)
	}
}
