package layer

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRemoveTakesWhatAnOverlayLeaves removes directories that their owner may not
// even read, as an ordinary user: the kernel leaves work/work so.
func TestRemoveTakesWhatAnOverlayLeaves(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"a/work/work", "b/shut/in"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"a/work/work", "b/shut/in", "b/shut"} {
		if err := os.Chmod(filepath.Join(dir, d), 0); err != nil {
			t.Fatal(err)
		}
	}
	if os.Getuid() == 0 {
		ordinary(t, dir)
	}
	if err := os.RemoveAll(filepath.Join(dir, "b")); err == nil {
		t.Error("an ordinary removal takes it: nothing is tested here")
	}
	for _, d := range []string{"a", "b", "not there", "no/directory"} {
		if err := Remove(filepath.Join(dir, d)); err != nil {
			t.Errorf("%s: %v", d, err)
		}
		if _, err := os.Lstat(filepath.Join(dir, d)); !errors.Is(err, unix.ENOENT) {
			t.Errorf("%s is still there: %v", d, err)
		}
	}
}

// ordinary gives dir to a user without privileges and makes the test's thread
// touch files as that user; the thread ends with the test's goroutine.
func ordinary(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(p, 65534, 65534))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	t.Cleanup(func() { unix.Setfsuid(0) })
	if err := unix.Setfsuid(65534); err != nil {
		t.Fatal(err)
	}
}
