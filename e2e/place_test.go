package e2e

import (
	"strings"
	"testing"
)

// What cannot be staged is refused by name, with what to do: the whole machine,
// and a home that holds the state.
func TestPlacesThatAreNoProject(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		for dir, want := range map[string]string{"/": "start a session in /: it is the whole machine", w.root: "it holds Countersign's own state"} {
			w.project = dir
			r := w.cs("run", "--approver", "none", "--", "true")
			if r.code != 1 || !strings.Contains(r.err, want) || !strings.Contains(r.err, "cd to the directory of one project") {
				t.Errorf("in %s: %+v", dir, r)
			}
		}
	})
}

// A submodule is a project of its own, and what the repository around it denies is
// closed in it too.
func TestASubmoduleKeepsTheOuterPolicy(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	outer := w.project
	w.write(".countersign/policy.yaml", "version: 1\nfiles:\n  deny: [{id: keys, paths: [/lib/keys/], reason: of the library}]\ncommands:\n  - {id: touch, verdict: deny, argv: [touch, ...], reason: as a test}\n")
	w.write("../lib/keys/a.txt", "key\n")
	w.write("../lib/b.txt", "b\n")
	w.exec("bash", "-c", "cd ../lib && git init -q -b main && git add -A && git commit -qm start")
	w.git("init", "-q", "-b", "main")
	w.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", w.home+"/lib", "lib")
	w.project = outer + "/lib"
	r := w.script(allowBash, "cat b.txt; cat keys/a.txt; touch new; echo done\n")
	if r.out != "b\ndone\n" {
		t.Errorf("inside: %+v", r)
	}
	rules := map[string]bool{}
	for _, r := range w.log() {
		if r.Outcome.Status == "refused" || r.Decision.Verdict == "deny" {
			rules[r.Policy.Rule] = true
		}
	}
	if !rules["outer:keys"] || !rules["outer:touch"] {
		t.Errorf("on record: %v", rules)
	}
}
