package e2e

import (
	"strings"
	"testing"
)

// What a person had changed before the start is no part of what is reviewed,
// committed inside or not.
func TestWhatWasChangedBeforeTheStartIsNotReviewed(t *testing.T) {
	for _, backend := range []string{"snapshot", "overlay"} {
		for name, commit := range map[string]string{"edited": "", "committed": "; git commit -qam inside"} {
			t.Run(backend+"/"+name, func(t *testing.T) {
				w := newWorld(t, users()[len(users())-1])
				w.write("f.txt", nine)
				w.write("staged.txt", nine)
				w.write(".gitignore", "agent.sh\ninner.sh\n")
				w.repo()
				w.write("f.txt", strings.Replace(nine, "9", "nine", 1))
				w.write("staged.txt", strings.Replace(nine, "9", "nine", 1))
				w.write("new.txt", "mine\n")
				w.git("add", "staged.txt")
				a := w.steps("--backend", backend)
				a.do("sed -i 's/^2$/two/' f.txt staged.txt; echo agents >> new.txt" + commit)
				a.end()
				var got []string
				for _, h := range w.hunks() {
					got = append(got, h.Path, h.Op)
					if h.OldLines > 1 || h.NewLines > 1 || h.OldStart > 2 {
						t.Errorf("more than the agent's: %+v", h)
					}
				}
				if strings.Join(got, " ") != "f.txt modify new.txt modify staged.txt modify" {
					t.Errorf("listed: %q", got)
				}
				r := w.must("review", "--accept-all", "--apply")
				if w.read("f.txt") != strings.NewReplacer("2", "two", "9", "nine").Replace(nine) || w.read("new.txt") != "mine\nagents\n" {
					t.Errorf("applied: %q %q", w.read("f.txt"), w.read("new.txt"))
				}
				t.Log(w.git("log", "--format=%s"), w.git("status", "--porcelain"), r.err)
			})
		}
	}
}
