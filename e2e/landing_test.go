package e2e

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// steps is an agent that takes its steps one at a time, a line of shell each.
type steps struct {
	w    *world
	id   string // of its session
	feed io.WriteCloser
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
	if s.feed, err = cmd.StdinPipe(); err != nil {
		w.t.Fatal(err)
	}
	if s.out, err = os.Create(filepath.Join(w.root, "said")); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { s.out.Close() })
	cmd.Stdout, cmd.Stderr = s.out, s.out
	before := w.ids()
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { s.feed.Close() })
	eventually(w.t, "the session is up", func() bool {
		for _, id := range w.ids() {
			if !slices.Contains(before, id) && w.cs("shell", id, "--", "true").code == 0 {
				s.id = id
			}
		}
		return s.id != ""
	})
	return s
}

// ids are those of the sessions that run.
func (w *world) ids() (ids []string) {
	w.t.Helper()
	var all []struct{ Session string }
	w.decode(&all, "status", "--json")
	for _, s := range all {
		ids = append(ids, s.Session)
	}
	return ids
}

// in runs a command of the person's in the session.
func (s *steps) in(args ...string) result {
	s.w.t.Helper()
	return s.w.cs(append([]string{"shell", s.id, "--"}, args...)...)
}

// do has the agent take a step, and waits until it is done.
func (s *steps) do(line string) {
	s.w.t.Helper()
	s.in("rm", "-f", ".git/step")
	if _, err := io.WriteString(s.feed, line+"\n"); err != nil {
		s.w.t.Fatal(err)
	}
	eventually(s.w.t, line, func() bool { return s.in("test", "-e", ".git/step").code == 0 })
}

func (s *steps) end() {
	s.w.t.Helper()
	s.feed.Close()
	if err := s.wait(); err != nil {
		s.w.t.Errorf("%v: %s", err, s.said())
	}
}

// said is what came out of the session so far.
func (s *steps) said() string { return s.w.read(s.out.Name()) }

// sees is a file as the session has it.
func (s *steps) sees(path string) string { return s.in("cat", path).out }

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

// An undo is of the session whose apply it takes back, whichever is the newest:
// what comes back is that one's change again, commit and all, and the others
// follow as they follow a person.
func TestUndoBesideAnotherSession(t *testing.T) {
	for _, backend := range []string{"snapshot", "overlay"} {
		t.Run(backend, func(t *testing.T) {
			w := newWorld(t, users()[len(users())-1])
			w.write("f.txt", nine)
			w.write(".gitignore", "agent.sh\ninner.sh\n")
			w.repo()
			start := w.head()
			one := w.steps("--backend", backend)
			one.do("sed -i 's/^2$/two/' f.txt; for i in $(seq 60); do echo $i > n$i; done; git add -A; git commit -qm c1")
			two := w.steps("--backend", backend, "--fresh")
			top := func(s *steps) string { return s.in("git", "log", "-1", "--format=%s").out }
			w.must("review", one.id, "--accept-all", "--apply")
			two.follows("c1", func() string { return top(two) })
			two.follows(w.read("f.txt"), func() string { return two.sees("f.txt") })
			two.do("git log -1 --format=%s")
			if r := w.must("review", "--undo"); w.head() != start || w.read("f.txt") != nine {
				t.Fatalf("undone: %s %s", w.head(), r.err)
			}
			two.follows("start", func() string { return top(two) })
			two.follows(nine, func() string { return two.sees("f.txt") })
			if got := top(one); got != "c1\n" || one.sees("f.txt") != strings.Replace(nine, "2", "two", 1) || one.sees("n60") != "60\n" {
				t.Errorf("the first session lost what was taken back: %q %q", got, one.sees("f.txt"))
			}
			for s, want := range map[*steps]int{one: 61, two: 0} {
				var hs []hunk
				if w.decode(&hs, "review", s.id, "--list", "--json"); len(hs) != want {
					t.Errorf("%d hunks of %d: %+v", len(hs), want, hs[:min(len(hs), 3)])
				}
			}
			w.must("review", one.id, "--accept-all", "--apply")
			if w.git("log", "-1", "--format=%s") != "c1\n" {
				t.Error("it cannot be applied again")
			}
			two.follows("c1", func() string { return top(two) })
			one.end()
			two.end()
		})
	}
}

// follows waits until the session has what it should have.
func (s *steps) follows(want string, has func() string) {
	s.w.t.Helper()
	eventually(s.w.t, "the session has "+want, func() bool { return strings.TrimSpace(has()) == strings.TrimSpace(want) })
}
