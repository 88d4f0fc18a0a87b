package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// busyScript is a tree that never rests: background processes, forks, covered
// execs, one after the other.
const busyScript = `
for i in 1 2 3 4 5; do sleep 1000 & done
(while :; do (:); done) &
(while :; do /bin/true; done) &
echo busy
while :; do /bin/true; done
`

// busy starts an agent with a busy tree and returns every process of it.
func (w *world) busy() (*job, []hostProc) {
	w.t.Helper()
	w.write("agent.sh", "#!/bin/bash\nbash ./inner.sh\n")
	w.write("inner.sh", busyScript)
	j := w.start("run", "--policy", w.policy(allowBash), "--approver", "none", "--json", "--", "bash", "agent.sh")
	j.prints("busy")
	return j, below(j.cmd.Process.Pid)
}

func (w *world) sessionID() string {
	w.t.Helper()
	rs := w.log("--type", "session.started")
	if len(rs) == 0 {
		w.t.Fatal("no session")
	}
	return rs[len(rs)-1].Session
}

// checkLost looks for what the next start must have written of a lost session.
func (w *world) checkLost(id string, said result) {
	w.t.Helper()
	if !strings.Contains(said.err, id) || !strings.Contains(said.err, "without a word") {
		w.t.Errorf("the next start does not say what it found: %s", said.err)
	}
	ended, finished, started := 0, map[string]string{}, map[string]bool{}
	for _, r := range w.log("--session", id) {
		switch r.Type {
		case "session.ended":
			ended++
			if r.Detail["ended_by"] != "lost" {
				w.t.Errorf("session.ended %+v", r)
			}
		case "exec.started":
			started[r.ID], started[r.Parent] = true, true
		case "exec.finished":
			finished[r.Parent] = r.Outcome.Status
		}
	}
	if ended != 1 {
		w.t.Errorf("%d records of its end", ended)
	}
	orphans := 0
	for _, status := range finished {
		if status == "orphaned" {
			orphans++
		}
	}
	if orphans < 2 { // the launch and its bash
		w.t.Errorf("%d orphaned of %d finished", orphans, len(finished))
	}
}

// again starts the next session, which recovers.
func (w *world) again() result {
	w.t.Helper()
	w.write("agent.sh", "exit 0\n")
	r := w.cs("run", "--fresh", "--policy", w.policy(allowBash), "--approver", "none", "--", "bash", "agent.sh")
	if r.code != 0 {
		w.t.Errorf("the next start: %+v", r)
	}
	return r
}

// The session process dies: every process of the session dies with it, and the
// next start says and records it.
func TestKillSession(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.write("hello.txt", "hello\n")
		w.repo()
		j, tree := w.busy()
		if len(tree) < 9 {
			t.Fatalf("only %d processes: %v", len(tree), tree)
		}
		id := w.sessionID()
		tree = below(j.cmd.Process.Pid)
		at := time.Now()
		syscall.Kill(j.cmd.Process.Pid, syscall.SIGKILL)
		eventually(t, "every process of it is gone", func() bool { return anyAlive(notLedger(tree)) == "" })
		if d := time.Since(at); d > 5*time.Second {
			t.Errorf("it took %v", d)
		}
		eventually(t, "the ledger process ends too", func() bool { return len(w.ledgers()) == 0 })
		w.must("verify")
		w.checkLost(id, w.again())
		w.must("verify")
	})
}

func notLedger(ps []hostProc) []hostProc {
	var out []hostProc
	for _, p := range ps {
		if len(p.argv) < 2 || p.argv[1] != "__ledger" {
			out = append(out, p)
		}
	}
	return out
}

// A session whose end is on record, and only its own file could not say so, is
// not recorded as lost.
func TestAnEndOnRecordIsNotWrittenAgain(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.repoWith("hello.txt", "hello\n")
	if r := w.script(allowBash, "echo more >> hello.txt\n"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	ended := w.log("--type", "session.ended")
	if len(ended) != 1 {
		t.Fatalf("%+v", ended)
	}
	files, _ := filepath.Glob(filepath.Join(w.root, "state/countersign/sessions", ended[0].Session, "session.json"))
	if len(files) != 1 {
		t.Fatal("no session.json")
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var kept map[string]any
	if err := json.Unmarshal(b, &kept); err != nil {
		t.Fatal(err)
	}
	delete(kept, "ended_by")
	delete(kept, "exit")
	delete(kept, "ended")
	if b, err = json.Marshal(kept); err == nil {
		err = os.WriteFile(files[0], b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if r := w.again(); strings.Contains(r.err, "without a word") {
		t.Errorf("%s", r.err)
	}
	for _, r := range w.log("--type", "session.ended") {
		if r.Session == ended[0].Session && r.ID != ended[0].ID {
			t.Errorf("a second end: %+v", r)
		}
	}
	if out := w.must("sessions").out; !strings.Contains(out, ended[0].Session+"  ended") {
		t.Errorf("%s", out)
	}
}

// Told to end, by a terminal that goes away too, it ends in order.
func TestToldToEnd(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			if signal.Ignored(sig) {
				t.Skip("it is ignored here (nohup), and so by what is started")
			}
			w := newWorld(t, users()[len(users())-1])
			w.repoWith("hello.txt", "hello\n")
			j, tree := w.busy()
			id := w.sessionID()
			syscall.Kill(j.cmd.Process.Pid, sig)
			r := j.wait()
			if e := w.ending(r); r.code != 130 || e.EndedBy != "countersign" || e.Exit != 130 || !strings.Contains(e.Error, "interrupted") || !strings.Contains(r.err, "countersign: interrupted") {
				t.Errorf("%+v", r)
			}
			eventually(t, "its tree is gone", func() bool { return anyAlive(notLedger(tree)) == "" })
			if rs := w.log("--type", "session.ended"); len(rs) != 1 || rs[0].Session != id {
				t.Errorf("the end is not on record: %+v", rs)
			}
			w.must("verify")
		})
	}
}

// The agent is killed: the session ends as the agent did.
func TestKillAgent(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.repoWith("hello.txt", "hello\n")
		j, tree := w.busy()
		syscall.Kill(find(t, tree, "/usr/bin/bash agent.sh").pid, syscall.SIGKILL)
		r := j.wait()
		if r.code != 137 {
			t.Errorf("exit %d: %s", r.code, r.err)
		}
		if e := w.ending(r); e.EndedBy != "agent" {
			t.Errorf("%+v", e)
		}
		eventually(t, "its tree is gone", func() bool { return anyAlive(notLedger(tree)) == "" })
		launch, open := "", map[string]bool{}
		for _, r := range w.log() {
			switch r.Type {
			case "exec.decided":
				if r.Decision.Basis == "launch" && launch == "" {
					launch = r.ID
				}
			case "exec.started":
				open[r.Parent] = true
			case "exec.finished":
				delete(open, r.Parent)
				if r.Parent == launch && r.Outcome.Status != "killed" {
					t.Errorf("the launch ended %+v", r.Outcome)
				}
			}
		}
		if len(open) != 0 {
			t.Errorf("%d commands have no end on record", len(open))
		}
		w.must("verify")
	})
}

func (w *world) repoWith(name, content string) {
	w.t.Helper()
	w.write(name, content)
	w.repo()
}

// A process that the session cannot do without is killed: the gate closes, the
// session ends in words, nothing of it goes on, and the next start recovers.
func TestKillWhatTheSessionNeeds(t *testing.T) {
	for _, c := range []struct{ name, argv1, says string }{
		{"ledger", "__ledger", "ledger"},
		{"tripwire", "__tripwire", "tripwire"},
		{"view", "__nsd", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, users()[len(users())-1])
			w.repoWith("hello.txt", "hello\n")
			j, tree := w.busy()
			id := w.sessionID()
			victim := hostProc{}
			for _, p := range below(j.cmd.Process.Pid) {
				if len(p.argv) > 1 && p.argv[1] == c.argv1 {
					victim = p
				}
			}
			if victim.pid == 0 {
				t.Fatalf("no %s among %v", c.argv1, tree)
			}
			at := time.Now()
			syscall.Kill(victim.pid, syscall.SIGKILL)
			r := j.wait()
			if d := time.Since(at); d > 10*time.Second {
				t.Errorf("it took %v to end", d)
			}
			if r.code != 1 || !strings.Contains(r.err, "countersign: error:") || !strings.Contains(r.err, c.says) {
				t.Errorf("exit %d: %s", r.code, r.err)
			}
			if e := w.ending(r); e.EndedBy != "countersign" || e.Error == "" {
				t.Errorf("%+v", e)
			}
			if still := anyAlive(notLedger(tree)); still != "" {
				t.Errorf("still runs: %s", still)
			}
			said := w.again()
			if c.name == "ledger" {
				w.checkLost(id, said)
				if len(w.log("--type", "ledger.recovered")) == 0 {
					t.Error("no ledger.recovered")
				}
			}
			w.must("verify")
		})
	}
}

// Two sessions on one project have a layer each.
func TestTwoSessionsOneProject(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.write("agent.sh", "echo \"by $1\" >> hello.txt; echo \"$1\" > \"only-$1.txt\"; echo written; read go; cat hello.txt; exit 0\n")
		w.repoWith("hello.txt", "hello\n")
		policy := w.policy("version: 1\ncommands:\n  - {id: t-cat, verdict: allow, argv: [cat, '...'], reason: a test}\n")
		var jobs []*job
		for _, who := range []string{"one", "two"} {
			j := w.start("run", "--policy", policy, "--approver", "none", "--", "bash", "agent.sh", who)
			j.prints("written")
			jobs = append(jobs, j)
		}
		var live []struct{ ID, State string }
		w.decode(&live, "sessions", "--json")
		if len(live) != 2 || live[0].State != "running" || live[1].State != "running" {
			t.Errorf("sessions %+v", live)
		}
		ids := map[string]string{}
		for i, who := range []string{"one", "two"} {
			fmt.Fprintln(jobs[i].stdin, "go")
			if r := jobs[i].wait(); r.code != 0 || !strings.Contains(r.out, "hello\nby "+who+"\n") || strings.Count(r.out, "by ") != 1 {
				t.Errorf("%s saw %+v", who, r)
			}
		}
		for _, r := range w.log("--type", "session.started") {
			ids[r.Action.Argv[len(r.Action.Argv)-1]] = r.Session
		}
		for _, who := range []string{"one", "two"} {
			var hs []hunk
			w.decode(&hs, "review", ids[who], "--list", "--json")
			var paths []string
			for _, h := range hs {
				paths = append(paths, h.Path)
			}
			if strings.Join(paths, " ") != "hello.txt only-"+who+".txt" {
				t.Errorf("%s has %q", who, paths)
			}
		}
		w.must("review", ids["one"], "--accept-all", "--apply")
		w.must("review", ids["two"], "--accept-file", "only-two.txt", "--apply")
		if w.read("hello.txt") != "hello\nby one\n" || w.read("only-one.txt") != "one\n" || w.read("only-two.txt") != "two\n" {
			t.Errorf("applied: %q %q %q", w.read("hello.txt"), w.read("only-one.txt"), w.read("only-two.txt"))
		}
		w.must("verify")
	})
}

func (w *world) decode(out any, args ...string) {
	w.t.Helper()
	r := w.must(args...)
	if err := jsonInto(r.out, out); err != nil {
		w.t.Fatalf("%v in %s", err, r.out)
	}
}

// Two users of one machine at the same time never meet.
func TestTwoUsers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("skipped: it takes root to be two users")
	}
	a, b := newWorld(t, 0), newWorld(t, ordinary)
	var jobs []*job
	for _, w := range []*world{a, b} {
		w.write("agent.sh", "echo up; read go; bash -c 'id -u'\n")
		w.repoWith("hello.txt", "hello\n")
		// The same runtime directory name for both: /run/user is per user, /tmp is not.
		j := w.start("run", "--policy", w.policy(allowBash), "--approver", "none", "--", "bash", "agent.sh")
		j.prints("up")
		jobs = append(jobs, j)
	}
	for i, w := range []*world{a, b} {
		fmt.Fprintln(jobs[i].stdin, "go")
		if r := jobs[i].wait(); r.code != 0 || !strings.Contains(r.out, fmt.Sprint(w.uid)) {
			t.Errorf("%+v", r)
		}
		if n := len(w.log("--type", "session.started")); n != 1 {
			t.Errorf("uid %d has %d sessions on record", w.uid, n)
		}
		w.must("verify")
	}
	// Another user's state and sockets are closed to it.
	for _, dir := range []string{"state/countersign", "run/countersign"} {
		if r := b.exec("ls", filepath.Join(a.root, dir)); r.code == 0 {
			t.Errorf("another user reads %s: %s", dir, r.out)
		}
	}
}

// tree reads the project, without git's own files.
func (w *world) tree() map[string]string {
	w.t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(w.project, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == ".git" {
			return filepath.SkipDir
		}
		if d.Type().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			rel, _ := filepath.Rel(w.project, path)
			out[rel] = string(b)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// differ names what differs between two trees, a few of it.
func differ(a, b map[string]string) string {
	var out []string
	for name, text := range a {
		if b[name] != text {
			out = append(out, name)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			out = append(out, "+"+name)
		}
	}
	if len(out) > 8 {
		out = append(out[:8], fmt.Sprintf("and %d more", len(out)-8))
	}
	return strings.Join(out, " ")
}

// kills is how often an apply is killed at a random moment.
func kills() int {
	if os.Getenv("COUNTERSIGN_LONG") == "1" {
		return 200
	}
	return 12
}

// A reviewing process is killed in the middle of an apply: after the next start
// the tree is entirely old or entirely new.
func TestKillApply(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	for i := range 80 {
		w.write(fmt.Sprintf("src/%02d/file%d.txt", i%7, i), fmt.Sprintf("old %d\n", i))
	}
	w.repo()
	r := w.script(allowBash, `for f in src/*/*; do echo "new" >> $f; done
for i in $(seq 20); do echo "made $i" > src/made$i.txt; done
rm src/00/file0.txt src/01/file1.txt
`)
	if r.code != 0 {
		t.Fatalf("%+v", r)
	}
	w.must("review", "--accept-all")
	old := w.tree()
	at := time.Now()
	w.must("review", "--apply")
	whole := time.Since(at)
	fresh := w.tree()
	w.must("review", "--undo")
	if d := differ(w.tree(), old); d != "" {
		t.Fatalf("undo left %s", d)
	}
	t.Logf("an apply takes %v", whole)
	news, halves := 0, 0
	for i := range kills() {
		w.must("review", "--accept-all")
		j := w.start("review", "--apply")
		wait := time.Duration(rand.Int64N(int64(whole)))
		select {
		case <-j.done:
		case <-time.After(wait):
			syscall.Kill(j.cmd.Process.Pid, syscall.SIGKILL)
			<-j.done
		}
		if now := w.tree(); differ(now, old) != "" && differ(now, fresh) != "" {
			halves++
		}
		said := w.must("review", "--list").err
		now := w.tree()
		switch {
		case differ(now, old) == "":
		case differ(now, fresh) == "":
			news++
			w.must("review", "--undo")
			if d := differ(w.tree(), old); d != "" {
				t.Fatalf("kill %d after %v: undo left %s", i, wait, d)
			}
		default:
			t.Fatalf("kill %d after %v: neither old (%s) nor new (%s); it said %s", i, wait, differ(now, old), differ(now, fresh), said)
		}
	}
	t.Logf("%d kills: %d met a half tree, %d ended new", kills(), halves, news)
	if n := len(w.log("--type", "changeset.recovered")); halves > 0 && n < halves {
		t.Errorf("%d recoveries on record after %d halves", n, halves)
	}
	if left, _ := exec.Command("find", w.project, "-name", ".countersign*").Output(); len(left) > 0 {
		t.Errorf("left in the tree: %s", left)
	}
	w.must("review", "--accept-all", "--apply")
	if d := differ(w.tree(), fresh); d != "" {
		t.Errorf("the last apply: %s", d)
	}
	w.must("verify")
}

// A change of very many files is listed, accepted and applied in reasonable time.
func TestManyFiles(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	n := 2000
	if os.Getenv("COUNTERSIGN_LONG") == "1" {
		n = 10_000
	}
	w.repoWith("hello.txt", "hello\n")
	limit := time.Duration(n) * 10 * time.Millisecond
	timed := func(what string, f func()) {
		at := time.Now()
		f()
		d := time.Since(at)
		if t.Logf("%s of %d files: %v", what, n, d); d > limit {
			t.Errorf("%s took %v", what, d)
		}
	}
	timed("a session", func() {
		if r := w.script(allowBash, fmt.Sprintf("for d in {0..99}; do mkdir -p many/$d; done\nfor ((i=0; i<%d; i++)); do echo line $i > many/$((i%%100))/$i.txt; done\n", n)); r.code != 0 {
			t.Fatalf("%+v", r)
		}
	})
	timed("the list", func() {
		if got := len(w.hunks()); got != n {
			t.Fatalf("%d hunks", got)
		}
	})
	timed("accept", func() { w.must("review", "--accept-all") })
	timed("apply", func() { w.must("review", "--apply") })
	if got := w.read("many/7/107.txt"); got != "line 107\n" {
		t.Errorf("applied %q", got)
	}
	if got := len(w.log("--type", "hunk.decided")); got != n {
		t.Errorf("%d decisions on record", got)
	}
	w.must("verify")
}

// smallDisk puts the world's state on a file system of its own, of so many MiB.
func (w *world) smallDisk(mib int) (fill, free func()) {
	w.t.Helper()
	if os.Getuid() != 0 {
		w.t.Skip("skipped: it takes root to mount a small file system")
	}
	state := filepath.Join(w.root, "state")
	opts := fmt.Sprintf("size=%dm,mode=0700,uid=%d,gid=%d", mib, w.uid, w.uid)
	if err := syscall.Mount("tmpfs", state, "tmpfs", 0, opts); err != nil {
		w.t.Skipf("skipped: no tmpfs may be mounted here: %v", err)
	}
	w.t.Cleanup(func() { syscall.Unmount(state, syscall.MNT_DETACH) })
	ballast := filepath.Join(state, "ballast")
	fill = func() {
		f, err := os.Create(ballast)
		if err != nil {
			w.t.Fatal(err)
		}
		defer f.Close()
		for _, n := range []int{1 << 20, 4096, 1} { // to the last byte
			for b := make([]byte, n); err == nil; _, err = f.Write(b) {
			}
			err = nil
		}
	}
	return fill, func() { os.Remove(ballast) }
}

// The disk is full before the start: nothing starts, in words.
func TestDiskFullAtStart(t *testing.T) {
	for _, uid := range users() {
		w := newWorld(t, uid)
		fill, free := w.smallDisk(16)
		w.repoWith("hello.txt", "hello\n")
		fill()
		r := w.script(allowBash, "echo ran\n")
		if r.code != 1 || strings.Contains(r.out, "ran") || !strings.Contains(r.err, "no space left") {
			t.Errorf("uid %d: %+v", uid, r)
		}
		free()
		if r := w.script(allowBash, "echo ran\n"); r.code != 0 || !strings.Contains(r.out, "ran") {
			t.Errorf("with space again: %+v", r)
		}
		w.must("verify")
	}
}

// The disk fills up while an agent works: its commands stop, none goes
// unrecorded, the session ends in words, and the next start recovers.
func TestDiskFullWhileRunning(t *testing.T) {
	for _, uid := range users() {
		w := newWorld(t, uid)
		fill, free := w.smallDisk(16)
		w.write("agent.sh", "echo up\nread go\nwhile :; do bash -c 'echo ran; /bin/true'; done\n")
		w.repoWith("hello.txt", "hello\n")
		j := w.start("run", "--policy", w.policy(allowBash), "--approver", "none", "--json", "--", "bash", "agent.sh")
		j.prints("up")
		fill()
		fmt.Fprintln(j.stdin, "go")
		r := j.wait()
		if r.code != 1 || !strings.Contains(r.err, "countersign: error:") || !strings.Contains(r.err, "space") {
			t.Errorf("uid %d: exit %d: %s", uid, r.code, r.err)
		}
		if e := w.ending(r); e.EndedBy != "countersign" {
			t.Errorf("%+v", e)
		}
		free()
		eventually(t, "the ledger process ended", func() bool { return len(w.ledgers()) == 0 })
		said := w.again()
		ran, decided := strings.Count(r.out, "ran"), 0
		for _, x := range w.log("--type", "exec.decided") {
			if x.Action.Summary == "bash -c echo ran; /bin/true" && x.Decision.Verdict == "allow" {
				decided++
			}
		}
		if ran > decided {
			t.Errorf("uid %d: %d ran, %d decided on record", uid, ran, decided)
		}
		closed := w.log("--type", "ledger.closed")
		t.Logf("uid %d: %d ran, %d on record; the next start said %q; closed: %d", uid, ran, decided, lastLine(said.err), len(closed))
		if len(closed) == 0 || fmt.Sprint(closed[0].Detail["reason"]) != "enospc" {
			t.Errorf("the book does not say why it was closed: %+v", closed)
		}
		w.must("verify")
	}
}

// The disk is full when a review is applied: the tree stays entirely old, and
// with space again it becomes entirely new.
func TestDiskFullAtApply(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	fill, free := w.smallDisk(24)
	for i := range 40 {
		w.write(fmt.Sprintf("src/file%d.txt", i), "old\n")
	}
	w.repo()
	if r := w.script(allowBash, "for f in src/*; do echo new >> $f; done\n"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	w.must("review", "--accept-all")
	old := w.tree()
	fill()
	r := w.cs("review", "--apply")
	if r.code != 1 || !strings.Contains(r.err, "space") {
		t.Errorf("%+v", r)
	}
	if d := differ(w.tree(), old); d != "" {
		t.Errorf("a half applied change: %s", d)
	}
	free()
	w.must("review", "--accept-all", "--apply")
	for i := range 40 {
		if got := w.read(fmt.Sprintf("src/file%d.txt", i)); got != "old\nnew\n" {
			t.Errorf("file %d holds %q", i, got)
		}
	}
	w.must("verify")
}

// A staging layer that cannot be closed is no silent loss: it is said, it is in the
// record of the session's end, and the run did not go well.
func TestALayerThatCannotBeClosed(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.write("f.txt", nine)
	w.write(".gitignore", "agent.sh\ninner.sh\n")
	w.repo()
	a := w.steps("--json")
	a.do("sed -i s/^2$/two/ f.txt")
	metas, err := filepath.Glob(filepath.Join(w.root, "state", "countersign", "sessions", "*", "layer", "meta.json"))
	if err != nil || len(metas) != 1 {
		t.Fatalf("layers: %q %v", metas, err)
	}
	kept := w.read(metas[0])
	if err := os.Remove(metas[0]); err != nil {
		t.Fatal(err)
	}
	w.write(filepath.Join(metas[0], "in-the-way"), "")
	a.feed.Close()
	ended := a.wait()
	r := result{err: a.said()}
	if code := (*exec.ExitError)(nil); !errors.As(ended, &code) || code.ExitCode() != 1 || !strings.Contains(r.err, "countersign: error: close the staging layer of session ") || !strings.Contains(r.err, "countersign: hint: what the session changed stays in ") {
		t.Errorf("it is not said: %v: %s", ended, r.err)
	}
	if !strings.Contains(r.err, "1 hunk in 1 file to review") || w.ending(r).EndedBy != "countersign" {
		t.Errorf("the rest: %s", r.err)
	}
	ends := w.log("--type", "session.ended")
	if len(ends) != 1 || ends[0].Outcome.Status != "failed" || !strings.Contains(ends[0].Outcome.Error, "close the staging layer") {
		t.Errorf("on record: %+v", ends)
	}
	// What the remedy says holds.
	if err := os.RemoveAll(metas[0]); err != nil {
		t.Fatal(err)
	}
	w.write(metas[0], kept)
	if hs := w.hunks(); len(hs) != 1 || hs[0].Path != "f.txt" {
		t.Errorf("hunks %+v", hs)
	}
}
