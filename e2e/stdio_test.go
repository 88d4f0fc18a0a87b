package e2e

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestHandedFiles redirects a command's input and output to files of the host.
// They work as they do bare, and are not there to be opened anew.
func TestHandedFiles(t *testing.T) {
	for _, uid := range users() {
		t.Run(fmt.Sprint("uid ", uid), func(t *testing.T) {
			w := newWorld(t, uid)
			w.write("a", "a\n")
			w.repo()
			big := strings.Repeat("0123456789abcde\n", 1<<14)
			in, out, dir := filepath.Join(w.root, "in"), filepath.Join(w.root, "out"), filepath.Join(w.root, "home")
			run := fmt.Sprintf("%s run --policy %s --approver none --fresh -- bash", binary, w.policy(allowBash))
			at := func(script string) string {
				w.write("agent.sh", script)
				w.write(in, "input\n")
				w.write(out, "before\n")
				return run + " agent.sh "
			}
			bare := w.exec("bash", "-c", fmt.Sprintf("echo evil >%s; bash -c 'echo evil >/proc/self/fd/0' <%[1]s; cat %[1]s", in))
			if bare.out != "evil\n" {
				t.Fatalf("control: bare, the input is not written to: %+v", bare)
			}
			for _, tt := range []struct{ name, script, redirect, in, out string }{
				{"both work", "read x; echo got $x; echo to stderr >&2", "<%s >>%s 2>&1", "input\n", "before\ngot input\nto stderr\n"},
				{"a new output", "echo new", "<%s >%s", "input\n", "new\n"},
				{"write to the input", "echo evil >/proc/self/fd/0; echo evil <>/dev/stdin 1>&0; echo done", "<%s >%s", "input\n", "done\n"},
				{"cut the output", "echo one; : >/proc/self/fd/1; echo two >/dev/stdout", "<%s >>%s", "input\n", "before\none\ntwo\n"},
				{"read the output", "read -t 0.01 x </proc/self/fd/1; echo [$x]", "<%s >>%s", "input\n", "before\n[]\n"},
				{"much", "for i in {1..4096}; do printf '%1024s\\n' $i; done", "<%s >%s", "input\n", ""},
			} {
				if r := w.exec("bash", "-c", at(tt.script)+fmt.Sprintf(tt.redirect, in, out)); r.code != 0 {
					t.Errorf("%s: %+v", tt.name, r)
				}
				got, _ := os.ReadFile(in)
				wrote, _ := os.ReadFile(out)
				wrote = []byte(strings.ReplaceAll(string(wrote), "countersign: ", "\x00"))
				wrote = []byte(strings.Split(string(wrote), "\x00")[0]) // our own last words, where they go there too
				if tt.name == "much" {
					if len(wrote) != 4096*1025 {
						t.Errorf("%s: %d bytes", tt.name, len(wrote))
					}
					continue
				}
				if string(got) != tt.in || string(wrote) != tt.out {
					t.Errorf("%s: the input is %q, the output %q", tt.name, got, wrote)
				}
			}
			at("while read -r x; do echo $x; done")
			w.write(in, big)
			w.exec("bash", "-c", fmt.Sprintf("%s agent.sh <%s >%s", run, in, out))
			if wrote, _ := os.ReadFile(out); sha256.Sum256(wrote) != sha256.Sum256([]byte(big)) {
				t.Errorf("%d bytes went through, want %d", len(wrote), len(big))
			}
			r := w.exec("bash", "-c", at("ls /proc/self/fd/0/")+"<"+dir)
			if r.code == 0 || !strings.Contains(r.err, "is a directory") || !strings.Contains(r.err, "hint: ") {
				t.Errorf("a directory as input: %+v", r)
			}
		})
	}
}
