//go:build linux

package ledger_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/ledger/disk"
)

var _ countersign.Ledger = (*ledger.Client)(nil)

func TestClientsShareOneProcess(t *testing.T) {
	dir := t.TempDir()
	c, p := dial(t, dir)
	d, other := dial(t, dir)
	if other != nil {
		t.Fatal("a second process was started")
	}
	id := "0190a5c0-0000-7000-8000-000000000001"
	r := rec(1)
	r.ID = id
	got, err := c.Append(t.Context(), r, true)
	if err != nil || got.ID != id || got.Seq != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	for i := range 100 {
		spooled(t, d, i)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.wait(t); err != nil {
		t.Fatalf("%v: %s", err, &p.out)
	}
	all := lines(t, dirs(dir).State)
	if len(all) != 103 || all[0].Type != "ledger.opened" || all[102].Type != "ledger.closed" {
		t.Errorf("%d records, from %s to %s", len(all), all[0].Type, all[len(all)-1].Type)
	}
	for i := range 100 {
		if want := rec(i).Action.Summary; all[2+i].Action.Summary != want {
			t.Errorf("report %d is %q, want %q", i, all[2+i].Action.Summary, want)
		}
	}
	first := all[1]
	if first.ID != id || first.V != 1 || first.Epoch != 1 || first.Seq != 2 || first.Node == "" || first.T.Boot == "" {
		t.Errorf("the ledger's own fields: %+v", first)
	}
	sound(t, dirs(dir).State, ledger.VerifyOptions{})
	if _, err := os.Stat(dirs(dir).Socket); err == nil {
		t.Error("the socket is still there")
	}
}

func TestManyWritersOverTheSocket(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[uint64]bool{}
	for range 4 {
		c, _ := dial(t, dir)
		defer c.Close()
		for w := range 64 {
			wg.Go(func() {
				for i := range 4 {
					r, err := c.Append(t.Context(), rec(i), (w+i)%2 == 0)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					seen[r.Seq] = true
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	for seq := uint64(2); seq < 2+256*4; seq++ {
		if !seen[seq] {
			t.Fatalf("number %d is missing", seq)
		}
	}
}

func TestKillUnderLoadLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	var ids []string
	for round := range 3 {
		c, p := dial(t, dir)
		var mu sync.Mutex
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := 0; ; i++ {
					r, err := c.Append(t.Context(), rec(i), (i+w)%3 == 0)
					if err != nil {
						if code := countersign.CodeOf(err); code != countersign.EClosed {
							t.Errorf("a dead ledger gives %s: %v", code, err)
						}
						return
					}
					mu.Lock()
					ids = append(ids, r.ID)
					n := len(ids)
					mu.Unlock()
					if n == (round+1)*400 {
						_ = p.cmd.Process.Kill()
					}
				}
			})
		}
		wg.Wait()
		select {
		case <-c.Closed():
		case <-time.After(10 * time.Second):
			t.Fatal("Closed is not closed")
		}
		if _, err := c.Append(t.Context(), rec(1), false); countersign.CodeOf(err) != countersign.EClosed {
			t.Errorf("appending to a closed client: %v", err)
		}
	}
	c, p := dial(t, dir)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.wait(t); err != nil {
		t.Fatal(err)
	}
	have, recovered := map[string]bool{}, 0
	for _, r := range lines(t, dirs(dir).State) {
		have[r.ID] = true
		if r.Type == "ledger.recovered" {
			recovered++
		}
	}
	for _, id := range ids {
		if !have[id] {
			t.Errorf("record %s was acknowledged and is lost", id)
		}
	}
	if recovered != 3 {
		t.Errorf("%d recoveries are on record, want 3", recovered)
	}
	sound(t, dirs(dir).State, ledger.VerifyOptions{})
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	c, _ := dial(t, dir)
	defer c.Close()
	p := start(t, dir)
	if err := p.wait(t); err == nil || !strings.Contains(p.out.String(), "another ledger process") {
		t.Errorf("%v: %s", err, &p.out)
	}
	if _, err := c.Append(t.Context(), rec(1), true); err != nil {
		t.Errorf("the first one was disturbed: %v", err)
	}
}

func TestClientIsToldWhyTheLedgerCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dirs(dir).State, os.DirFS(build(t, false))); err != nil {
		t.Fatal(err)
	}
	s := segs(t, dirs(dir).State)
	_ = os.Remove(s[len(s)-1])
	_, err := ledger.Dial(t.Context(), dirs(dir), func(context.Context) error { start(t, dir); return nil })
	if countersign.CodeOf(err) != countersign.EVerify || countersign.RemedyOf(err) == "" || !strings.Contains(err.Error(), "old copy") {
		t.Errorf("got %v", err)
	}
}

func TestRefusedRecordsDoNotCloseTheLedger(t *testing.T) {
	c, _ := dial(t, t.TempDir())
	defer c.Close()
	big := rec(1)
	big.Action.Summary = strings.Repeat("x", 17<<10)
	bad := rec(1)
	bad.ID = "two words"
	for name, r := range map[string]countersign.Record{"too long": big, "malformed id": bad} {
		for _, durable := range []bool{true, false} {
			if _, err := c.Append(t.Context(), r, durable); countersign.CodeOf(err) != countersign.EInvalid {
				t.Errorf("%s, durable %v: %v", name, durable, err)
			}
		}
	}
	if r, err := c.Append(t.Context(), rec(2), true); err != nil || r.Seq != 2 {
		t.Errorf("afterwards: %+v, %v", r, err)
	}
}

func TestBlobs(t *testing.T) {
	dir := t.TempDir()
	c, _ := dial(t, dir)
	defer c.Close()
	plain := []byte("the prompt that must stand nowhere in clear")
	p, err := c.Blob(t.Context(), "prompt", "text/plain", plain)
	if err != nil {
		t.Fatal(err)
	}
	q, err := c.Blob(t.Context(), "prompt", "text/plain", plain)
	if err != nil || p.Commit == q.Commit || p.CT == q.CT {
		t.Errorf("equal payloads can be told apart by nobody: %v %v %v", p, q, err)
	}
	state := dirs(dir).State
	got, err := ledger.OpenBlob(state, p)
	if err != nil || string(got) != string(plain) {
		t.Fatalf("%q, %v", got, err)
	}
	big := make([]byte, 3<<20)
	if p, err := c.Blob(t.Context(), "output", "application/octet-stream", big); err != nil {
		t.Error(err)
	} else if got, err := ledger.OpenBlob(state, p); err != nil || len(got) != len(big) {
		t.Error(err)
	}
	_ = filepath.Walk(state, func(name string, fi os.FileInfo, _ error) error {
		if fi.Mode().IsRegular() && strings.Contains(string(read(t, name)), string(plain[:12])) {
			t.Errorf("%s holds the plain text", name)
		}
		if fi.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", name, fi.Mode())
		}
		return nil
	})
	pack, at, _ := strings.Cut(p.At, ":")
	begin, err := strconv.Atoi(at)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(state, "blobs", pack)
	ct := read(t, name)
	ct[begin+200] ^= 1
	write(t, name, ct)
	if _, err := ledger.OpenBlob(state, p); countersign.CodeOf(err) != countersign.EVerify {
		t.Errorf("a changed blob: %v", err)
	}
	p = q
	p.Commit = "sha256:" + strings.Repeat("0", 64)
	if _, err := ledger.OpenBlob(state, p); countersign.CodeOf(err) != countersign.EVerify {
		t.Errorf("another commitment: %v", err)
	}
	for _, bad := range []string{"sha256:../../x", "x", "sha256:" + strings.Repeat("g", 64)} {
		p.CT = bad
		if _, err := ledger.OpenBlob(state, p); err == nil {
			t.Errorf("%q was opened", bad)
		}
	}
}

func TestFollowSeesWhatComes(t *testing.T) {
	dir := t.TempDir()
	c, _ := dial(t, dir)
	r, err := ledger.OpenReader(dirs(dir).State)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() {
		defer close(got)
		for line, err := range r.Follow(ctx) {
			if err != nil {
				t.Error(err)
				return
			}
			got <- string(line)
		}
	}()
	<-got // ledger.opened
	for i := range 20 {
		if _, err := c.Append(t.Context(), rec(i), false); err != nil {
			t.Fatal(err)
		}
		if line := <-got; !strings.Contains(line, fmt.Sprintf("step %d && echo <x>", i)) {
			t.Fatalf("record %d: %s", i, line)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if line := <-got; !strings.Contains(line, "ledger.closed") {
		t.Errorf("got %s", line)
	}
	d, _ := dial(t, dir)
	defer d.Close()
	if line := <-got; !strings.Contains(line, "ledger.opened") {
		t.Errorf("the next segment: %s", line)
	}
}

func TestOtherReleaseIsToldSo(t *testing.T) {
	dir := t.TempDir()
	c, _ := dial(t, dir)
	defer c.Close()
	n, err := net.Dial("unix", dirs(dir).Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if _, err := n.Write([]byte{0, 0, 0, 5, 'h', 0, 7, 0, 9}); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	k, err := n.Read(b)
	if err != nil || !strings.Contains(string(b[:k]), "of different releases") || !strings.Contains(string(b[:k]), "countersign stop") {
		t.Errorf("%q, %v", b[:k], err)
	}
}

// Another user finds the door shut even where the directory would let him in.
func TestOtherUsersAreNotServed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to be another user")
	}
	dir := t.TempDir()
	c, _ := dial(t, dir)
	defer c.Close()
	for p := dir; p != filepath.Clean(os.TempDir()) && p != "/"; p = filepath.Dir(p) {
		_ = os.Chmod(p, 0o755)
	}
	_ = os.Chmod(dirs(dir).Socket, 0o666)
	self := filepath.Join(dir, "self")
	if err := os.WriteFile(self, read(t, os.Args[0]), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = []string{"LEDGER_KNOCK=" + dirs(dir).Socket}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "connected, 0 bytes" {
		t.Errorf("%s, %v", out, err)
	}
	if _, err := c.Append(t.Context(), rec(1), true); err != nil {
		t.Error(err)
	}
}

// injected starts one ledger process whose k-th call fails, by strace. The
// client is nil if it met the error before it could serve.
func injected(t *testing.T, dir, inject string) (*ledger.Client, *proc) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed: the kernel's own errors are not tried")
	}
	var p *proc
	c, err := ledger.Dial(t.Context(), dirs(dir), func(context.Context) error {
		if p == nil {
			p = start(t, dir, "strace", "-f", "-qq", "-o", filepath.Join(dir, "trace"), "-e", "trace=fdatasync,pwrite64", "-e", "inject="+inject)
		}
		return nil
	})
	if err != nil {
		return nil, p
	}
	return c, p
}

// untilError appends until the ledger fails and returns what it promised
// before. strace counts the calls of each thread by itself, so the error may be
// met by any of many records.
func untilError(t *testing.T, c *ledger.Client, want string) (ids []string) {
	t.Helper()
	for i := range 2000 {
		r, err := c.Append(t.Context(), rec(i), i%2 == 0)
		if err == nil {
			if i%2 == 0 {
				ids = append(ids, r.ID)
			}
			continue
		}
		if countersign.CodeOf(err) != countersign.EClosed || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		closed(t, c)
		return ids
	}
	t.Error("the error was never met")
	_ = c.Close() // the error is told above
	return ids
}

// closed waits for the client to say that nothing can be written any more.
func closed(t *testing.T, c *ledger.Client) {
	t.Helper()
	select {
	case <-c.Closed():
	case <-time.After(10 * time.Second):
		t.Fatal("Closed is not closed")
	}
}

// A real EIO at any flush or write: nothing is promised from then on, the
// process ends, the next start goes on and has all that was promised.
func TestKernelErrorsClosesTheLedger(t *testing.T) {
	for _, call := range []string{"fdatasync:error=EIO", "pwrite64:error=EIO", "pwrite64:error=ENOSPC"} {
		for _, k := range []int{1, 3, 5, 7, 9, 12, 15} {
			t.Run(fmt.Sprintf("%s %d", call, k), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				c, bad := injected(t, dir, fmt.Sprintf("%s:when=%d+", call, k))
				var ids []string
				if c != nil {
					want := "input/output error"
					if strings.HasSuffix(call, "ENOSPC") {
						want = "no space left"
					}
					ids = untilError(t, c, want)
				}
				if err := bad.wait(t); err == nil {
					t.Error("the process ended as if all were well")
				}
				d, p := dial(t, dir)
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				if err := p.wait(t); err != nil {
					t.Fatal(err)
				}
				have := map[string]bool{}
				for _, r := range lines(t, dirs(dir).State) {
					have[r.ID] = true
				}
				for _, id := range ids {
					if !have[id] {
						t.Errorf("record %s was promised and is lost", id)
					}
				}
				sound(t, dirs(dir).State, ledger.VerifyOptions{})
			})
		}
	}
}

// badFlush is a disk whose flushes fail from some moment on.
type badFlush struct {
	disk.FS
	bad *atomic.Bool
}

type badFile struct {
	disk.File
	bad *atomic.Bool
}

func (f badFlush) Create(name string) (disk.File, error) {
	g, err := f.FS.Create(name)
	return badFile{g, f.bad}, err
}

func (f badFile) Flush() error {
	if f.bad.Load() {
		return syscall.EIO
	}
	return f.File.Flush()
}

// A flush that fails while nobody waits for it closes every client, and each is
// told why.
func TestFailedFlushIsToldToWhoDoesNotAsk(t *testing.T) {
	dir := t.TempDir()
	var bad atomic.Bool
	ended := make(chan error, 1)
	go func() {
		ended <- ledger.Serve(context.Background(), dirs(dir), ledger.ServeOptions{FS: badFlush{disk.Dir(dirs(dir).State), &bad}})
	}()
	wait := func(context.Context) error { return nil }
	var cs []*ledger.Client
	for range 3 {
		c, err := ledger.Dial(t.Context(), dirs(dir), wait)
		if err != nil {
			t.Fatal(err)
		}
		cs = append(cs, c)
	}
	bad.Store(true)
	spooled(t, cs[0], 1)
	for i, c := range cs {
		closed(t, c)
		if err := c.Err(); countersign.CodeOf(err) != countersign.EClosed || !strings.Contains(err.Error(), "input/output error") {
			t.Errorf("client %d is told %v", i, err)
		}
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the process ended as if all were well")
		}
	case <-time.After(10 * time.Second):
		t.Error("the process does not end")
	}
}

// A ledger process that is stopped holds nobody up for ever who comes.
func TestStoppedProcessHoldsNobodyUpForEver(t *testing.T) {
	if os.Getenv("COUNTERSIGN_LONG") == "" {
		t.Skip("takes 15 s; COUNTERSIGN_LONG=1 runs it")
	}
	dir := t.TempDir()
	c, p := dial(t, dir)
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	_, err := ledger.Dial(t.Context(), dirs(dir), func(context.Context) error { return nil })
	if took := time.Since(begun); countersign.CodeOf(err) != countersign.EClosed || took > time.Minute {
		t.Errorf("after %v: %v", took, err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Append(t.Context(), rec(1), true); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	_ = c.Close() // the append has told
}

// A disk that is really full: a small file system in memory.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(dirs(dir).State, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dirs(dir).State, "tmpfs", 0, "size=1500k,mode=700"); err != nil {
		t.Skipf("no small file system can be mounted here (%v): root is needed", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dirs(dir).State, syscall.MNT_DETACH) })
	c, p := dial(t, dir)
	var ids []string
	r := rec(1)
	r.Action.Argv = []string{strings.Repeat("z", 4000)}
	for {
		got, err := c.Append(t.Context(), r, true)
		if err != nil {
			if countersign.CodeOf(err) != countersign.EClosed || !strings.Contains(err.Error(), "no space left") || countersign.RemedyOf(err) == "" {
				t.Errorf("got %v", err)
			}
			break
		}
		ids = append(ids, got.ID)
		if len(ids) > 1000 {
			t.Fatal("the disk never fills")
		}
	}
	if err := p.wait(t); err == nil {
		t.Error("the process ended as if all were well")
	}
	all := lines(t, dirs(dir).State)
	last := all[len(all)-1]
	if last.Type != "ledger.closed" || last.Detail["reason"] != "enospc" {
		t.Errorf("the last record is %s %v", last.Type, last.Detail)
	}
	if len(all) < len(ids)+2 {
		t.Errorf("%d records, %d were promised", len(all), len(ids))
	}
	sound(t, dirs(dir).State, ledger.VerifyOptions{})
	f, err := os.Create(filepath.Join(dirs(dir).State, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	_, err = ledger.Dial(t.Context(), dirs(dir), func(context.Context) error { start(t, dir); return nil })
	if err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("starting on a full disk: %v", err)
	}
}
