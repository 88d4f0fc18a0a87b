package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// A rule that lets a command go alone lets go nothing that it starts.
func TestWhatGoesAloneStartsNothing(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.write("inner.sh", "ls hello.txt\necho \"ls=$?\"\nexec ls hello.txt\n")
		w.write("agent.sh", "bash ./inner.sh\necho \"exec=$?\"\n")
		w.repoWith("hello.txt", "hello\n")
		for _, alone := range []bool{false, true} {
			policy := fmt.Sprintf("version: 1\ncommands:\n  - {id: t-inner, verdict: allow, argv: [bash, ./inner.sh], alone: %v, reason: t}\n", alone)
			r := w.cs("run", "--fresh", "--policy", w.policy(policy), "--approver", "none", "--", "bash", "agent.sh")
			want := "ls=0 exec=0"
			if alone {
				want = "ls=126 exec=126"
			}
			if got := strings.Join(strings.Fields(strings.ReplaceAll(r.out, "hello.txt", "")), " "); got != want {
				t.Errorf("alone %v: %q, want %q\n%s", alone, got, want, r.err)
			}
		}
	})
}
