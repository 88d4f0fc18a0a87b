package e2e

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// steps is an agent that takes its steps one at a time, a line of shell each.
type steps struct {
	w    *world
	in   io.WriteCloser
	out  *os.File
	wait func() error
}

func (w *world) steps(args ...string) *steps {
	w.t.Helper()
	w.write("agent.sh", "bash ./inner.sh\n")
	w.write("inner.sh", "while read -r line; do eval \"$line\"; echo done > .git/step; done\n")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	w.t.Cleanup(cancel)
	args = append([]string{"run", "--policy", w.policy(allowBash), "--approver", "none"}, args...)
	cmd := w.command(ctx, binary, append(args, "--", "bash", "agent.sh")...)
	s := &steps{w: w, wait: cmd.Wait}
	var err error
	if s.in, err = cmd.StdinPipe(); err != nil {
		w.t.Fatal(err)
	}
	if s.out, err = os.Create(filepath.Join(w.root, "said")); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { s.out.Close() })
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { s.in.Close() })
	eventually(w.t, "the session is up", func() bool { return w.cs("shell", "--", "true").code == 0 })
	return s
}

// do has the agent take a step, and waits until it is done.
func (s *steps) do(line string) {
	s.w.t.Helper()
	s.w.must("shell", "--", "rm", "-f", ".git/step")
	if _, err := io.WriteString(s.in, line+"\n"); err != nil {
		s.w.t.Fatal(err)
	}
	eventually(s.w.t, line, func() bool { return s.w.cs("shell", "--", "test", "-e", ".git/step").code == 0 })
}

func (s *steps) end() {
	s.w.t.Helper()
	s.in.Close()
	if err := s.wait(); err != nil {
		s.w.t.Errorf("%v: %s", err, s.said())
	}
}

// said is what came out of the session so far.
func (s *steps) said() string { return s.w.read(s.out.Name()) }

// sees is a file as the session has it.
func (s *steps) sees(path string) string { return s.w.cs("shell", "--", "cat", path).out }

// What an apply merged is what the session goes on with, and a person's later
// edits follow; what the agent wrote after the review stays its own, and never
// proposes to take a person's lines away.
func TestTheSessionFollowsAMergedApply(t *testing.T) {
	for _, backend := range []string{"snapshot", "overlay"} {
		t.Run(backend, func(t *testing.T) {
			eachUser(t, func(t *testing.T, w *world) {
				w.write("f.txt", nine)
				w.write("g.txt", nine)
				w.write(".gitignore", "agent.sh\ninner.sh\n")
				w.repo()
				a := w.steps("--backend", backend)
				edit := func(path string, pairs ...string) {
					w.write(path, strings.NewReplacer(pairs...).Replace(w.read(path)))
				}
				follows := func(what, path string) {
					t.Helper()
					eventually(t, what, func() bool { return a.sees(path) == w.read(path) })
				}
				a.do("sed -i 's/^2$/two/' f.txt; echo new > n.txt; rm g.txt")
				edit("f.txt", "9", "nine")
				w.must("review", "--accept-file", "f.txt", "--accept-file", "n.txt", "--accept-file", "g.txt", "--apply")
				if got := w.read("f.txt"); got != strings.NewReplacer("2", "two", "9", "nine").Replace(nine) {
					t.Fatalf("applied: %q", got)
				}
				follows("the merged file in the session", "f.txt")
				if got := w.states(); got != "" {
					t.Errorf("still listed:\n%s", got)
				}
				edit("f.txt", "5", "five")
				follows("an edit after the apply", "f.txt")
				edit("n.txt", "new", "newer")
				follows("an edit of what the agent made", "n.txt")
				w.write("g.txt", "again\n")
				follows("a file made again", "g.txt")

				// One hunk is accepted, then the agent goes on, and so does the person.
				a.do("sed -i 's/^1$/one/' f.txt")
				w.must("review", "--accept-file", "f.txt")
				a.do("sed -i 's/^7$/seven/' f.txt")
				edit("f.txt", "3", "three")
				w.must("review", "--apply")
				want := strings.NewReplacer("1", "one", "2", "two", "3", "three", "5", "five", "9", "nine").Replace(nine)
				if got := w.read("f.txt"); got != want {
					t.Errorf("applied: %q", got)
				}
				if got := w.states(); got != "modify f.txt undecided" {
					t.Errorf("listed:\n%s", got)
				}
				w.must("review", "--accept-file", "f.txt", "--apply")
				if got := w.read("f.txt"); got != strings.Replace(want, "7", "seven", 1) {
					t.Errorf("applied: %q", got)
				}
				follows("both sides", "f.txt")
				a.end()
				if r := w.must("review", "--list"); r.out != "" {
					t.Errorf("listed at the end: %s", r.out)
				}
			})
		})
	}
}
