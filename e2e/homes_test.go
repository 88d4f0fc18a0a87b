package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A named agent runs with its profile: its settings in a home of its own that
// begins with what the person's holds of the kind, and without what is denied; the
// profile is on record; the home goes when a person says so, and not under a session.
func TestAnAgentsHome(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.write(filepath.Join(w.home, ".claude/CLAUDE.md"), "be brief\n")
		w.write(filepath.Join(w.home, ".claude/.credentials.json"), "a secret\n")
		w.write(filepath.Join(w.home, ".local/bin/claude"), `#!/bin/bash
read -r line <"$HOME/.claude/CLAUDE.md"; echo "told: $line"
[ -e "$HOME/.claude/.credentials.json" ] && read -r secret <"$HOME/.claude/.credentials.json"; echo "secret: $secret"
[[ $(<"$HOME/.claude.json") == *hasCompletedOnboarding* ]] && echo "settings: ok"
echo "limit: $BASH_DEFAULT_TIMEOUT_MS"
[ -e "$HOME/mark" ] && echo "again"
echo >"$HOME/mark"
until [ -e go ]; do read -t 0.05 x; done <>/dev/zero
exit 0
`)
		w.exec("chmod", "-R", "u+rwX,+x", filepath.Join(w.home, ".local"))
		w.write("go", "")
		w.repoWith("hello.txt", "hello\n")
		const told = "told: be brief\nsecret: \nsettings: ok\nlimit: 1200000\n"
		if r := w.must("run", "--approver", "none", "claude"); r.out != told || !strings.Contains(r.err, "Claude Code is started from") {
			t.Errorf("%+v", r)
		}
		if r := w.must("run", "--approver", "none", "claude"); r.out != told+"again\n" {
			t.Errorf("%+v", r)
		}
		started := w.log("--type", "session.started")
		var known map[string]any
		if len(started) != 2 {
			t.Fatalf("%+v", started)
		}
		known, _ = started[0].Detail["profile"].(map[string]any)
		if known["name"] != "claude" || !strings.Contains(w.must("agents", "--json").out, known["digest"].(string)) {
			t.Errorf("on record: %v", started[0].Detail["profile"])
		}

		os.Remove(filepath.Join(w.project, "go"))
		stop, wait := w.background("run", "--fresh", "--approver", "none", "claude")
		defer stop()
		eventually(t, "the session runs", func() bool { return len(w.log("--type", "session.started")) == 3 })
		if r := w.cs("agents", "reset", "claude"); r.code != 1 || !strings.Contains(r.err, "a session works in it") {
			t.Errorf("reset under a session: %+v", r)
		}
		w.write("go", "")
		if r := wait(); r.code != 0 {
			t.Errorf("%+v", r)
		}
		w.must("agents", "reset", "claude")
		var lines []struct{ Name, Home string }
		if err := json.Unmarshal([]byte(w.must("agents", "--json").out), &lines); err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			if l.Home != "" {
				t.Errorf("%s still has %s", l.Name, l.Home)
			}
		}
		if r := w.must("run", "--approver", "none", "claude"); r.out != told {
			t.Errorf("not anew: %+v", r)
		}
		if len(w.log("--type", "agent.reset")) != 1 {
			t.Error("the reset is not on record")
		}
		w.must("verify")
	})
}

// What an organisation, a user or a project says of an agent's own commands stands
// before what its profile says.
func TestHousekeepingYields(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.write(filepath.Join(w.home, ".local/bin/codex"), "#!/bin/bash\ngetconf LONG_BIT\necho \"ended $?\"\ngetconf PATH\necho \"ended $?\"\n")
	w.exec("chmod", "-R", "u+rwX,+x", filepath.Join(w.home, ".local"))
	w.repoWith("hello.txt", "hello\n")
	if r := w.must("run", "--approver", "none", "codex"); r.out != "64\nended 0\nended 126\n" {
		t.Errorf("%+v", r)
	}
	for _, verdict := range []string{"deny", "ask"} {
		w.write(".countersign/policy.yaml", "version: 1\ncommands: [{id: p-getconf, verdict: "+verdict+", argv: [getconf, '...'], reason: t}]\n")
		if r := w.must("run", "--fresh", "--approver", "none", "codex"); r.out != "ended 126\nended 126\n" {
			t.Errorf("%s: %+v", verdict, r)
		}
	}
}
