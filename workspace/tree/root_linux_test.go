package tree

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newRoot makes a tree with links that lead out, and a directory outside.
func newRoot(t *testing.T) (r *Root, outside string) {
	t.Helper()
	d, err := os.MkdirTemp("/dev/shm", "tree-") // the disk has no part in this
	if err != nil {
		d = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(d) })
	in, outside := d+"/in", d+"/out"
	for _, p := range []string{in + "/dir/deep", outside + "/deep"} {
		must(t, os.MkdirAll(p, 0o755))
	}
	must(t, os.WriteFile(outside+"/secret", []byte("secret"), 0o600))
	must(t, os.WriteFile(in+"/dir/f", []byte("inside"), 0o644))
	must(t, os.Symlink(outside, in+"/away"))
	must(t, os.Symlink(outside+"/secret", in+"/leak"))
	must(t, os.Symlink("dir", in+"/near"))
	must(t, os.Symlink("/proc/self/root", in+"/magic"))
	r, err = OpenRoot(in)
	must(t, err)
	t.Cleanup(func() { r.Close() })
	return r, outside
}

func TestNothingLeavesTheRoot(t *testing.T) {
	r, outside := newRoot(t)
	before, err := os.ReadDir(outside)
	must(t, err)
	calls := map[string]func(p string) error{
		"open":      func(p string) error { _, err := r.Open(p); return err },
		"create":    func(p string) error { _, err := r.Create(p, 0o644); return err },
		"write":     func(p string) error { return r.WriteAtomic(p, strings.NewReader("x"), 0o644) },
		"mkdir":     func(p string) error { return r.Mkdir(p, 0o755) },
		"mkdirall":  func(p string) error { _, err := r.MkdirAll(p); return err },
		"symlink":   func(p string) error { return r.Symlink("x", p) },
		"remove":    r.Remove,
		"rmdir":     r.Rmdir,
		"chmod":     func(p string) error { return r.Chmod(p, 0o777) },
		"rename to": func(p string) error { return r.Rename("dir/f", p) },
		"rename of": func(p string) error { return r.Rename(p, "stolen") },
		"exchange":  func(p string) error { return r.Exchange(p, "dir/f") },
		"readdir":   func(p string) error { _, err := r.ReadDir(p); return err },
		"state":     func(p string) error { _, err := r.State(p); return err },
		"readlink":  func(p string) error { _, err := r.Readlink(p); return err },
		"sync":      r.SyncDir,
	}
	for name, call := range calls {
		for _, p := range []string{"away/secret", "away/new", "near/new", "near/f", "magic/etc/passwd", "../out/secret", "dir/../../out/secret", outside + "/secret", "away/deep/x"} {
			if err := call(p); err == nil {
				t.Errorf("%s %q went through", name, p)
			}
		}
	}
	for _, p := range []string{"leak", "away", "magic"} { // links themselves: never followed
		if _, err := r.Open(p); err == nil {
			t.Errorf("open %q followed a link", p)
		}
		if err := r.Chmod(p, 0o777); err == nil {
			t.Errorf("chmod %q followed a link", p)
		}
	}
	must(t, r.WriteAtomic("leak", strings.NewReader("mine"), 0o644)) // the link is replaced
	if b, _ := os.ReadFile(outside + "/secret"); string(b) != "secret" {
		t.Error("written through a link")
	}
	after, _ := os.ReadDir(outside)
	if len(after) != len(before) {
		t.Errorf("outside now has %v", after)
	}
}

func TestOddNamesAreJustNames(t *testing.T) {
	r, _ := newRoot(t)
	for _, p := range []string{"new\nline", "bad\xff\xfe", "-rf", "a b", "…", "..x", "...", strings.Repeat("n", 255), "dir/\x01"} {
		must(t, r.WriteAtomic(p, strings.NewReader(p), 0o644))
		if b, err := r.ReadFile(p); err != nil || string(b) != p {
			t.Errorf("%q: %q, %v", p, b, err)
		}
	}
	for _, p := range []string{"", "/", "a//b", "a/", "./a", "a/./b", "..", "a\x00b", "a/.."} {
		if err := Check(p); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q is taken for a plain path", p)
		}
	}
}

func TestStateSaysWhatIsThere(t *testing.T) {
	r, _ := newRoot(t)
	must(t, r.WriteAtomic("x", strings.NewReader("exec"), 0o755))
	must(t, syscall.Mkfifo(r.Path()+"/fifo", 0o644))
	for _, c := range []struct {
		path string
		mode uint32
		size int64
		err  error
	}{
		{"dir/f", ModeFile, 6, nil},
		{"x", ModeExec, 4, nil},
		{"near", ModeSymlink, 3, nil},
		{"none", 0, 0, fs.ErrNotExist},
		{"dir", 0, 0, ErrKind},
		{"fifo", 0, 0, ErrKind},
		{"away/secret", 0, 0, ErrRefused},
	} {
		st, err := r.State(c.path)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		if err == nil && (st.Mode != c.mode || st.Size != c.size) {
			t.Errorf("%s: %o, %d bytes", c.path, st.Mode, st.Size)
		}
	}
	st, _ := r.State("dir/f")
	rd, err := st.Open()
	must(t, err)
	if b, _ := io.ReadAll(rd); string(b) != "inside" {
		t.Errorf("%q", b)
	}
}

func TestWriteKeepsPermissionsAndUmask(t *testing.T) {
	r, _ := newRoot(t)
	must(t, os.Chmod(r.Path()+"/dir/f", 0o640))
	must(t, r.WriteAtomic("dir/f", strings.NewReader("new"), 0o777))
	if info, _ := r.Lstat("dir/f"); info.Mode.Perm() != 0o640 {
		t.Errorf("a replaced file has %v", info.Mode)
	}
	old := syscall.Umask(0o027)
	defer syscall.Umask(old)
	must(t, r.WriteAtomic("n", strings.NewReader("new"), 0o666))
	if info, _ := r.Lstat("n"); info.Mode.Perm() != 0o640 {
		t.Errorf("a new file has %v", info.Mode)
	}
}

func TestMkdirAllSaysWhatItMade(t *testing.T) {
	r, _ := newRoot(t)
	made, err := r.MkdirAll("dir/deep/a/b")
	must(t, err)
	if strings.Join(made, " ") != "dir/deep/a dir/deep/a/b" {
		t.Errorf("made %v", made)
	}
	if _, err := r.MkdirAll("near/x"); !errors.Is(err, ErrRefused) {
		t.Errorf("through a link: %v", err)
	}
	if _, err := r.MkdirAll("dir/f/x"); err == nil {
		t.Error("below a file")
	}
}

func TestRenamesNeverReplaceUnasked(t *testing.T) {
	r, _ := newRoot(t)
	must(t, r.WriteAtomic("a", strings.NewReader("a"), 0o644))
	if err := r.RenameNoReplace("a", "dir/f"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	must(t, r.Exchange("a", "dir/f"))
	if b, _ := r.ReadFile("a"); string(b) != "inside" {
		t.Errorf("a holds %q", b)
	}
	if err := r.Remove("dir"); err == nil {
		t.Error("Remove took a directory")
	}
}

func TestAFullDiskLeavesNothing(t *testing.T) {
	mnt := t.TempDir()
	if err := syscall.Mount("tmpfs", mnt, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("no mount here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(mnt, syscall.MNT_DETACH) })
	must(t, os.WriteFile(mnt+"/f", []byte("old"), 0o644))
	r, err := OpenRoot(mnt)
	must(t, err)
	defer r.Close()
	for _, p := range []string{"f", "g"} {
		if err := r.WriteAtomic(p, bytes.NewReader(make([]byte, 1<<20)), 0o644); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("got %v", err)
		}
	}
	es, _ := os.ReadDir(mnt)
	if b, _ := os.ReadFile(mnt + "/f"); string(b) != "old" || len(es) != 1 {
		t.Errorf("%q, %v", b, es)
	}
}

func TestBeingWritten(t *testing.T) {
	p := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(p, nil, 0o644))
	w, err := os.OpenFile(p, os.O_WRONLY, 0)
	must(t, err)
	f, err := os.Open(p)
	must(t, err)
	if !BeingWritten(f) {
		t.Skip("this file system has no leases")
	}
	w.Close()
	if BeingWritten(f) {
		t.Error("nobody writes any more")
	}
	f.Close()
}

func TestLeaves(t *testing.T) {
	for _, c := range []struct {
		path, target string
		want         bool
	}{
		{"a", "b", false},
		{"a", "../b", true},
		{"d/a", "../b", false},
		{"d/a", "../../b", true},
		{"a", "/etc/passwd", true},
		{"a", "d/../../b", true},
		{"a", "./d/./../b", false},
		{"d/e/a", "../../x/../..", true},
		{"a", "", false},
	} {
		if got := Leaves(c.path, c.target); got != c.want {
			t.Errorf("%s -> %s: %v", c.path, c.target, got)
		}
	}
}

// While another swaps a directory for a link that leads out, nothing is written
// through it, and what is written is whole.
func TestSwappedDirectories(t *testing.T) {
	n := 2_000
	if os.Getenv("COUNTERSIGN_LONG") != "" {
		n = 100_000
	}
	r, outside := newRoot(t)
	var stop atomic.Bool
	var swaps atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() {
			if os.Rename(r.Path()+"/dir", r.Path()+"/hidden") == nil {
				os.Symlink(outside, r.Path()+"/dir")
				os.Remove(r.Path() + "/dir")
				os.Rename(r.Path()+"/hidden", r.Path()+"/dir")
				swaps.Add(1)
			}
		}
	})
	ok, tries, deadline := 0, 0, time.Now().Add(10*time.Minute)
	for ; (tries < n || swaps.Load() < int64(n)/2 || ok < n/10) && time.Now().Before(deadline); tries++ {
		f, err := r.Create("dir/deep/x", 0o644)
		if err == nil {
			ok++
			f.Close()
		}
		_ = r.Rename("dir/deep/x", "dir/deep/y")
		_ = r.Remove("dir/deep/y")
		_ = r.Remove("dir/deep/x")
	}
	stop.Store(true)
	wg.Wait()
	es, _ := os.ReadDir(outside + "/deep")
	if len(es) > 0 {
		t.Errorf("written outside: %v", es)
	}
	t.Logf("%d attempts against %d swaps, %d went to the right place", tries, swaps.Load(), ok)
	if ok < n/10 || swaps.Load() < int64(n)/2 {
		t.Error("no race took place")
	}
}
