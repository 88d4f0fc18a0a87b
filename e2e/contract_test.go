package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Words that scripts find in every record of their kind, and what an ordinary
// agent must not run into.
func TestContractOfRecords(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.write("hello.txt", "hello\n")
		w.write(".env", "SECRET=hunter2\n")
		w.write("agent.sh", "bash inner.sh\n")
		w.write("inner.sh", `for i in 1 2 3; do read x < .env; done
(exec 3<>/dev/tcp/10.1.2.3/443)
getent hosts asked.example
git config core.fsmonitor ./evil; git config core.fsmonitor
echo new > made.txt; git add made.txt; git commit -qm inside; git log -1 --format=%an:%ce
X=$(printf %2000s | tr ' ' a); Y=$(printf %5000s | tr ' ' '\1')
bash -c '/usr/bin/printf %s "$@" | wc -c' x $X $X $X $X $X $X $X $X $X $X
bash -c '/usr/bin/printf %s "$@" | wc -c' x $Y $Y $Y
exit 3
`)
		w.repo()
		r := w.cs("run", "--policy", w.policy(allowBash), "--approver", "none", "--", "bash", "agent.sh", strings.Repeat("long ", 6000))
		if r.code != 3 || !strings.Contains(r.out, "t:t@example.com\n20000\n15000\n") {
			t.Fatalf("the agent's work: %+v", r)
		}
		bundle, last := "", ""
		denied, refusedKeys, nets := 0, 0, 0
		for _, m := range w.raw() {
			typ, _ := m["type"].(string)
			if strings.HasPrefix(typ, "ledger.") {
				continue
			}
			last = typ
			if typ == "policy.activated" {
				bundle, _ = field(m, "policy.bundle").(string)
			}
			if got := field(m, "policy.bundle"); got != bundle || bundle == "" {
				t.Errorf("%s has the policy %v, not the session's %s", typ, got, bundle)
			}
			if d, ok := m["decision"].(map[string]any); ok {
				for _, name := range []string{"verdict", "basis", "by", "shown"} {
					if _, ok := d[name].(string); !ok {
						t.Errorf("%s lacks decision.%s: %v", typ, name, d)
					}
				}
			}
			if typ == "file.denied" && field(m, "policy.rule") == "git-config" && field(m, "action.op") == "rename" && field(m, "decision.verdict") == "deny" {
				refusedKeys++
			}
			exe, _ := field(m, "actor.peer.exe").(string)
			if typ == "net.denied" {
				nets++
			}
			if host := field(m, "action.host"); typ == "net.denied" && (host == "asked.example" && !strings.HasSuffix(exe, "/getent") || host == "10.1.2.3" && !strings.HasSuffix(exe, "/bash")) {
				t.Errorf("who asked for %s: %v", host, m["actor"])
			}
			if typ == "file.denied" && strings.HasSuffix(exe, "/bash") { // git looks at files as young as its index
				denied++
			}
			if strings.HasPrefix(typ, "exec.") && exe == "/" {
				t.Errorf("%s does not name who tried: %v", typ, m["actor"])
			}
			if typ == "session.ended" && (field(m, "outcome.status") != "failed" || field(m, "outcome.exit") != 3.0) {
				t.Errorf("the end: %v", m["outcome"])
			}
		}
		if last != "session.ended" {
			t.Errorf("%s is on record behind the session's end", last)
		}
		if denied != 3 {
			t.Errorf("%d records of three refused opens", denied)
		}
		if left, _ := filepath.Glob(filepath.Join(w.root, "run/countersign/*/*")); len(left) != 0 {
			t.Errorf("left in the runtime directory: %v", left)
		}
		if left, _ := filepath.Glob(filepath.Join(w.root, "run/countersign/????????")); len(left) != 0 {
			t.Errorf("left in the runtime directory: %v", left)
		}
		if nets < 2 {
			t.Errorf("%d refused connections and names on record", nets)
		}
		if refusedKeys != 1 {
			t.Errorf("%d records of one refused git key", refusedKeys)
		}
		w.must("verify")
	})
}

// The states of a hunk, from the list to the tree and back, and by which policy.
func TestContractOfReview(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.write("hello.txt", "one\ntwo\n")
	w.write("other.txt", "old\n")
	w.repo()
	strict := allowBash + "files:\n  deny:\n    - {id: t-plan, paths: [\"*.plan\"], reason: a test}\n"
	if r := w.script(strict, "echo three >> hello.txt\necho new > other.txt\necho a > a.txt\necho b > b.txt\necho x > my.plan\nmkdir .vscode; echo {} > .vscode/tasks.json\n"); r.code != 0 {
		t.Fatalf("%+v\n%s", r, w.must("log", "--json", "--type", "exec.finished").out)
	}
	states := func() string {
		var out []string
		for _, h := range w.hunks() {
			out = append(out, fmt.Sprintf("%s %s %s", h.Path, h.Op, h.State))
		}
		return strings.Join(out, "\n")
	}
	id := map[string]string{}
	for _, h := range w.hunks() {
		id[h.Path] = h.Hunk
		if (h.Path == "my.plan" || h.Path == ".vscode/tasks.json") != (h.Risk == "high") {
			t.Errorf("%s is of %s risk", h.Path, h.Risk)
		}
	}
	if r := w.must("review", "--accept", id["a.txt"], id["b.txt"], "--reject", id["other.txt"]); !strings.Contains(r.err, "sha256:"+id["a.txt"]) {
		t.Errorf("the digest is not printed: %s", r.err)
	}
	w.must("review", "--accept-file", "hello.txt")
	if r := w.must("review", "--accept-all"); !strings.Contains(r.err, "of high risk, and undecided still") { // neither those nor the rejected
		t.Errorf("what stayed behind is not said: %q", r.err)
	}
	w.must("review", "--apply")
	want := `.vscode/tasks.json create undecided
my.plan create undecided
other.txt modify rejected
a.txt create applied
b.txt create applied
hello.txt modify applied`
	if got := states(); got != want {
		t.Errorf("after the apply:\n%s", got)
	}
	if w.read("hello.txt") != "one\ntwo\nthree\n" || w.read("other.txt") != "old\n" {
		t.Errorf("the tree: %q %q", w.read("hello.txt"), w.read("other.txt"))
	}
	w.must("review", "--undo")
	if got := states(); strings.Contains(got, "applied") || strings.Count(got, "undecided") != 5 {
		t.Errorf("after the undo:\n%s", got)
	}
	// The shell on what it left, and the review of that, go by the same policy.
	if r := w.cs("shell", "--", "bash", "-c", "cat hello.txt; echo y > your.plan"); !strings.Contains(r.out, "three") {
		t.Errorf("the shell: %+v", r)
	}
	for _, h := range w.hunks() {
		if (h.Path == "my.plan" || h.Path == "your.plan") && h.Risk != "high" {
			t.Errorf("%s is of %s risk after the shell", h.Path, h.Risk)
		}
	}
	for _, c := range []struct {
		code int
		args []string
	}{
		{1, []string{"review", "--accept", "zzzzzz"}},
		{1, []string{"review", "--accept-file", "nowhere"}},
		{2, []string{"review", "--accept"}},
		{2, []string{"approve"}},
		{1, []string{"approve", "zzzz"}},
		{1, []string{"verify", "no-such-directory"}},
	} {
		if r := w.cs(c.args...); r.code != c.code || !strings.HasPrefix(r.err, "countersign: error: ") {
			t.Errorf("%q: %+v", c.args, r)
		}
	}
}

// An agent that policy itself denies is not started, and the exit code says it.
func TestContractOfDeniedLaunch(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.write("agent.sh", "echo started\n")
	w.repo()
	p := w.policy("version: 1\ncommands:\n  - {id: t-none, verdict: deny, argv: [bash, '...'], reason: not here}\n")
	r := w.cs("run", "--policy", p, "--approver", "none", "--json", "--", "bash", "agent.sh")
	if e := w.ending(r); r.code != 3 || strings.Contains(r.out, "started") || !strings.Contains(r.err, "t-none") || !strings.Contains(r.err, "hint: not here") || e.EndedBy != "countersign" || e.Exit != 3 {
		t.Errorf("%+v", r)
	}
	for _, r := range w.log("--type", "exec.decided") {
		if r.Decision.Verdict != "deny" || r.Policy.Rule != "t-none" {
			t.Errorf("%+v", r)
		}
	}
}

// Directories may be longer than a socket's name can be.
func TestContractOfLongDirectories(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.write("agent.sh", "echo new > made.txt\n")
	w.repo()
	long := filepath.Join(w.root, strings.Repeat("x", 90), strings.Repeat("y", 60))
	w.write(filepath.Join(long, "there"), "")
	if err := os.Mkdir(filepath.Join(long, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.own()
	stands := func() []string {
		dirs, _ := filepath.Glob(fmt.Sprintf("/var/tmp/countersign-%d-*", w.uid))
		more, _ := filepath.Glob(fmt.Sprintf("/tmp/countersign-%d-*", w.uid))
		return append(dirs, more...)
	}
	before := stands()
	t.Cleanup(func() {
		for _, dir := range stands() {
			if !slices.Contains(before, dir) {
				os.RemoveAll(dir)
			}
		}
	})
	for i, kv := range w.env {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "XDG_") {
			w.env[i] = name + "=" + filepath.Join(long, map[bool]string{true: "run", false: strings.ToLower(name)}[name == "XDG_RUNTIME_DIR"])
		}
	}
	if r := w.cs("run", "--policy", w.policy(allowBash), "--approver", "none", "--", "bash", "agent.sh"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if hs := w.hunks(); len(hs) != 1 {
		t.Errorf("%+v", hs)
	}
	w.must("review", "--accept-all", "--apply")
	w.must("verify")
}
