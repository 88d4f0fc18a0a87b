package tripwire

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// A node shows what the file shows: everything stat gives but the device.
func TestNodeLooksLikeTheFile(t *testing.T) {
	w := newWorld(t)
	bare := filepath.Join(w.dir, "bare")
	plant(t, bare)
	old := time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)
	if err := os.Chtimes(bare+"/.env", old, old.Add(time.Nanosecond)); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(bare+"/.env", bare+"/second"); err != nil {
		t.Fatal(err)
	}
	const format = "%n %s %b %i %h %u %g %f %x %y %z"
	names := []string{".env", "tool.sh", ".ssh"}
	argv := append([]string{"stat", "-c", format}, names...)
	want := w.run(bare, argv...)
	for _, n := range names {
		w.cover(filepath.Join(bare, n), "r")
	}
	got := w.run(bare, argv...)
	// The blocks of a file are those of its size, not of the disk.
	if diff := cmp.Diff(noBlocks(want.Out), noBlocks(got.Out)); diff != "" {
		t.Error(diff)
	}
	if es := w.events(); len(es) != 0 {
		t.Errorf("stat was reported: %v", es)
	}
}

func noBlocks(s string) (out []string) {
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		out = append(out, strings.Join(append(f[:2], f[3:]...), " "))
	}
	return out
}

// Git must find a tracked secret unchanged, and its daily commands must work.
func TestGitStaysClean(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(w.dir, "repo")
	plant(t, dir)
	old := time.Now().Add(-time.Hour)
	for _, f := range []string{".env", "tool.sh", ".ssh/id", "other", "sub/plain"} {
		if err := os.Chtimes(filepath.Join(dir, f), old, old); err != nil {
			t.Fatal(err)
		}
	}
	git := func(want string, args ...string) {
		t.Helper()
		r := w.run(dir, append([]string{"git"}, args...)...)
		if r.Exit != 0 || want != "*" && strings.TrimSpace(r.Out) != want {
			t.Errorf("git %v: exit %d, %q, want %q", args, r.Exit, r.Out, want)
		}
	}
	git("*", "init", "-q")
	git("", "add", ".env", "tool.sh", "other", "sub")
	write(t, dir+"/.git/info/exclude", "/.ssh\n", 0o644)
	git("", "commit", "-q", "-m", "one")
	git("", "status", "--porcelain")

	w.cover(dir+"/.env", "env")
	w.cover(dir+"/tool.sh", "tool")
	w.cover(dir+"/.ssh", "ssh")
	git("", "status", "--porcelain")
	git("", "diff", "HEAD")
	git("", "add", "-A")
	write(t, dir+"/other", "changed\n", 0o644)
	git("M other", "status", "--porcelain")
	git("*", "stash")
	git("", "status", "--porcelain")
	git("*", "stash", "pop")
	git("M other", "status", "--porcelain")
	git("", "commit", "-q", "-a", "-m", "two")
	git("*", "checkout", "-q", "-b", "branch")
	git("", "update-index", "--refresh")
	git("", "status", "--porcelain")
	if es := w.events(); len(es) != 0 {
		t.Errorf("git opened a node: %v", ops(es))
	}
	// Were the node not like the file, git would say so: renew it with another
	// time, and git must look inside, and be refused.
	a, err := Attrs(dir + "/.env")
	if err != nil {
		t.Fatal(err)
	}
	a.Mtime = a.Mtime.Add(time.Second)
	id := w.next - 2 - 1 // .env was the first of three, before the sentinel
	if err := w.srv.Add(Node{ID: id, Path: dir + "/.env", Rule: "env", Attr: a}); err != nil {
		t.Fatal(err)
	}
	w.run(dir, "git", "status", "--porcelain")
	if es := w.events(); len(es) == 0 {
		t.Error("a renewed node was not seen by git: its old attributes are still in the kernel")
	}
}

// Every open of a flood is counted, and the first ones are named singly.
func TestFloodTotalsAreExact(t *testing.T) {
	w := newWorld(t)
	plant(t, w.dir)
	n := w.cover(w.dir+"/.env", "env")
	const openers, opens = 64, 20000
	r := w.run(w.dir, exe(t), "__probe", "hammer", ".env", fmt.Sprint(openers), fmt.Sprint(opens))
	if want := fmt.Sprintf("0 %d", opens); strings.TrimSpace(r.Out) != want {
		t.Fatalf("let in and refused: %q, want %q", r.Out, want)
	}
	total, single := 0, 0
	for end := time.Now().Add(20 * time.Second); total < opens && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		total, single = w.count(n.ID)
	}
	w.srv.Close()
	total, single = w.count(n.ID)
	if total != opens || single != foldAfter {
		t.Errorf("%d reported, %d of them singly; want %d and %d", total, single, opens, foldAfter)
	}
}

func (w *world) count(node uint64) (total, single int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.got {
		if e.Node != node {
			continue
		}
		total += e.Count
		if e.Count == 1 {
			single++
		}
	}
	return total, single
}

// A killed server leaves every node closed, and what it had refused is reported.
func TestKilledServerIsClosedAndLosesNothing(t *testing.T) {
	w := newWorld(t)
	plant(t, w.dir)
	n := w.cover(w.dir+"/.env", "env")
	w.cover(w.dir+"/.ssh", "ssh")
	const openers = 8
	type said struct{ out string }
	done := make(chan said)
	go func() {
		r := w.run(w.dir, exe(t), "__probe", "until-closed", ".env", strconv.Itoa(openers))
		done <- said{r.Out}
	}()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if total, _ := w.count(n.ID); total > 20 {
			break
		}
	}
	if err := unix.Kill(w.srv.PID(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	out := (<-done).out
	<-w.srv.Done()
	if w.srv.Err() == nil {
		t.Error("a killed server ended without an error")
	}
	var refused, aborted, cut, other int
	if _, err := fmt.Sscan(out, &refused, &aborted, &cut, &other); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	total, _ := w.count(n.ID)
	// A call that was under way when the server died may have been reported
	// without its answer, never answered without a report. An opener is aborted
	// at most twice (fuse_dev_release ends what had been read, then what came
	// after), a thread of the server cuts one call off; nobody is ever let in.
	if other != 0 || refused == 0 || aborted > 2*openers || cut > workers || total < refused || total > refused+aborted+cut {
		t.Errorf("refused %d, aborted %d, cut off %d; reported %d; all: %s", refused, aborted, cut, total, out)
	}
	for _, sh := range []string{`cat .env`, `echo x > .env`, `chmod 777 .env`, `ls .ssh/id`} {
		if r := w.run(w.dir, "sh", "-c", sh); r.Exit == 0 || !strings.Contains(r.Out, "not connected") || strings.Contains(r.Out, canary) {
			t.Errorf("%s: exit %d, %q; want ENOTCONN", sh, r.Exit, r.Out)
		}
	}
	if err := w.srv.Add(Node{ID: 5}); err == nil {
		t.Error("a dead server took a node")
	}
}

// A stopped server lets nobody in either; the callers wait, and are answered
// and reported once it goes on.
func TestStoppedServerMakesCallersWait(t *testing.T) {
	w := newWorld(t)
	plant(t, w.dir)
	n := w.cover(w.dir+"/.env", "env")
	if err := unix.Kill(w.srv.PID(), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var ended atomic.Bool
	done := make(chan result)
	go func() {
		r := w.run(w.dir, "cat", ".env")
		ended.Store(true)
		done <- r
	}()
	time.Sleep(300 * time.Millisecond) // nothing is decided by this time: it only gives a leak room
	if ended.Load() {
		t.Error("an open was answered by a stopped server")
	}
	if err := unix.Kill(w.srv.PID(), unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if r := <-done; r.Exit == 0 || strings.Contains(r.Out, canary) {
		t.Errorf("%+v", r)
	}
	if total, _ := w.count(n.ID); total != 1 {
		w.events()
		t.Errorf("%d reported", total)
	}
}

// Signals interrupt the caller while it waits for the answer; it is counted once.
func TestInterruptedCallsCountOnce(t *testing.T) {
	w := newWorld(t)
	plant(t, w.dir)
	n := w.cover(w.dir+"/.env", "env")
	const opens = 5000
	r := w.run(w.dir, exe(t), "__probe", "alarmed", ".env", fmt.Sprint(opens))
	if strings.TrimSpace(r.Out) != fmt.Sprint("0 ", opens) {
		t.Fatalf("%q", r.Out)
	}
	w.srv.Close()
	if total, _ := w.count(n.ID); total != opens {
		t.Errorf("%d reported, want %d", total, opens)
	}
}

// Over an overlay the node stays when somebody outside saves the real file by
// rename, again and again, while the inside reads as fast as it can.
func TestSaveByRenameOutsideLeaksNothing(t *testing.T) {
	w := newWorld(t)
	real, merged := w.dir+"/real", w.dir+"/merged"
	for _, d := range []string{merged, w.dir + "/upper", w.dir + "/work"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	plant(t, real)
	r := w.order(order1{Op: "overlay", Path: merged, Data: fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,userxattr", real, w.dir+"/upper", w.dir+"/work")})
	if r.Err != "" {
		t.Skipf("no overlay here: %s", r.Err)
	}
	if r := w.run(merged, "cat", ".env"); !strings.Contains(r.Out, canary) {
		t.Fatalf("the overlay shows no secret to begin with: %q", r.Out)
	}
	a, err := Attrs(real + "/.env")
	if err != nil {
		t.Fatal(err)
	}
	n := Node{ID: 1, Path: merged + "/.env", Rule: "env", Attr: a}
	if err := w.srv.Add(n); err != nil {
		t.Fatal(err)
	}
	if r := w.order(order1{Op: "bind", Node: 1, Path: n.Path}); r.Err != "" {
		t.Fatal(r.Err)
	}
	stop, saved := make(chan struct{}), make(chan int)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				saved <- i
				return
			default:
				tmp := fmt.Sprintf("%s/.env.%d", real, rand.N(1000))
				_ = os.WriteFile(tmp, []byte("KEY="+canary+"\n"), 0o644)
				_ = os.Rename(tmp, real+"/.env")
			}
		}
	}()
	opens := raceOpens()
	r = w.run(merged, exe(t), "__probe", "hammer", ".env", "8", fmt.Sprint(opens))
	close(stop)
	t.Logf("%d saves while %d opens", <-saved, opens)
	if want := fmt.Sprint("0 ", opens); strings.TrimSpace(r.Out) != want {
		t.Errorf("let in and refused: %q, want %q", r.Out, want)
	}
	w.srv.Close()
	if total, _ := w.count(1); total != opens {
		t.Errorf("%d reported, want %d", total, opens)
	}
}

func raceOpens() int {
	if os.Getenv("COUNTERSIGN_LONG") != "" {
		return 100000
	}
	return 10000
}

func TestAddAndRemove(t *testing.T) {
	w := newWorld(t)
	plant(t, w.dir)
	n := w.cover(w.dir+"/.env", "env")
	dir := n
	dir.Attr = Attr{Dir: true}
	if err := w.srv.Add(dir); err == nil {
		t.Error("a file became a directory")
	}
	if err := w.srv.Add(Node{}); err == nil {
		t.Error("id 0 was taken")
	}
	if err := w.srv.Remove(77); err == nil {
		t.Error("a node that does not exist was removed")
	}
	if err := w.srv.Remove(n.ID); err != nil {
		t.Fatal(err)
	}
	if r := w.order(order1{Op: "open", Node: n.ID}); !strings.Contains(r.Err, "no such file") {
		t.Errorf("a removed node has a name still: %q", r.Err)
	}
	if r := w.run(w.dir, "cat", ".env"); r.Exit == 0 || ops(w.events()) != "read" {
		t.Errorf("a removed node that is still bound: %+v", r)
	}
}

// A fifo or a device would be opened by the kernel itself: it is shown as a file.
func TestSpecialFilesAreShownAsFiles(t *testing.T) {
	w := newWorld(t)
	fifo := w.dir + "/fifo"
	if err := unix.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	w.cover(fifo, "r")
	if r := w.run(w.dir, "sh", "-c", "cat fifo & wait $!"); r.Exit == 0 || ops(w.events()) != "read" {
		t.Errorf("%+v", r)
	}
}

// An extended attribute as long as they get is refused by us, and so reported.
func TestLongestRequestIsReported(t *testing.T) {
	w := newWorld(t)
	plant(t, w.dir)
	w.cover(w.dir+"/.env", "env")
	if r := w.run(w.dir, exe(t), "__probe", "bigxattr", ".env"); !strings.Contains(r.Out, "permission denied") {
		t.Errorf("%q", r.Out)
	}
	if got := ops(w.events()); got != "xattr" {
		t.Errorf("reported %q", got)
	}
}

func TestNamesBelowADirectoryAreReported(t *testing.T) {
	w := newWorld(t)
	plant(t, w.dir)
	w.cover(w.dir+"/.ssh", "ssh")
	w.run(w.dir, "cat", ".ssh/id_ed25519")
	if es := w.events(); len(es) != 1 || es[0].Path != w.dir+"/.ssh/id_ed25519" {
		t.Errorf("%+v", es)
	}
}

func TestServerHoldsNothingItDoesNotNeed(t *testing.T) {
	if withCgo {
		t.Skip("a server built with cgo cannot shed for all its threads; ours is built without")
	}
	w := newWorld(t)
	proc := fmt.Sprintf("/proc/%d/", w.srv.PID())
	b, err := os.ReadFile(proc + "status")
	if err != nil {
		t.Fatal(err)
	}
	if field(b, "NoNewPrivs:") != 1 {
		t.Error("the server may gain privileges")
	}
	for _, line := range strings.Split(string(b), "\n") {
		if set, ok := strings.CutPrefix(line, "CapEff:\t"); ok && set != "0000000000000000" && set != fmt.Sprintf("%016x", 1<<unix.CAP_SYS_PTRACE) {
			t.Errorf("capabilities: %s", set)
		}
	}
	if os.Getuid() != 0 {
		return // it is undumpable: its equals may not list its descriptors
	}
	fds, err := os.ReadDir(proc + "fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		target, err := os.Readlink(proc + "fd/" + fd.Name())
		if err == nil && !strings.HasPrefix(target, "/dev/null") && !strings.HasPrefix(target, "/dev/fuse") &&
			!strings.HasPrefix(target, "socket:") && !strings.HasPrefix(target, "pipe:") && !strings.HasPrefix(target, "anon_inode:[event") {
			t.Errorf("descriptor %s is %s", fd.Name(), target)
		}
	}
}

// A denied name that is a symlink keeps being one, and leads nowhere.
func TestSymlinkNode(t *testing.T) {
	w := newWorld(t)
	plant(t, w.dir)
	if err := os.Symlink(".env", w.dir+"/link"); err != nil {
		t.Fatal(err)
	}
	n := w.cover(w.dir+"/link", "env")
	for _, tt := range []struct{ sh, ops string }{
		{`test -L link`, ""},
		{`stat -c %f link`, ""},
		{`ls -l link`, OpReadlink},
		{`cat link`, OpReadlink},
		{`echo x > link`, OpReadlink},
		{`readlink link`, OpReadlink},
		{`chown -h $(id -u) link`, OpChown},
	} {
		r := w.run(w.dir, "sh", "-c", tt.sh)
		if strings.Contains(r.Out, canary) || tt.ops == "" && r.Exit != 0 {
			t.Errorf("%s: exit %d, %s", tt.sh, r.Exit, r.Out)
		}
		es := w.events()
		if ops(es) != tt.ops || len(es) > 0 && es[0].Node != n.ID {
			t.Errorf("%s: reported %q, want %q", tt.sh, ops(es), tt.ops)
		}
	}
}
