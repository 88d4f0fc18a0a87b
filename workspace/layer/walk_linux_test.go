package layer

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWalkCostsTheSameAtEveryDepth counts the levels that a walk's opens go
// through, and the directories it holds open: neither may grow with the square of
// the depth. Beside each level of the chain stands a directory that is walked
// after everything below was, or before.
func TestWalkCostsTheSameAtEveryDepth(t *testing.T) {
	for _, levels := range []int{500, 3000} {
		t.Run(fmt.Sprint(levels), func(t *testing.T) {
			dir := t.TempDir()
			r, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			chain(t, dir, levels)
			t.Cleanup(func() { removeChain(t, dir, levels) })
			deepest := make(chan int, 3*levels)
			q, err := r.walk(t.Context(), "", func(it Item) bool { deepest <- len(it.Rel); return true }, func(rel string, err error) { t.Error(err) })
			if err != nil {
				t.Fatal(err)
			}
			if len(deepest) != 3*levels {
				t.Errorf("%d entries, want %d", len(deepest), 3*levels)
			}
			if q.steps > 2*levels*(stride+1) {
				t.Errorf("%d levels were gone through for %d directories", q.steps, 2*levels)
			}
			if q.most > 2*(levels/stride+2) || q.most > maxHeld {
				t.Errorf("%d directories were held open", q.most)
			}
			if len(q.held) != 0 {
				t.Errorf("%d directories are still open", len(q.held))
			}
		})
	}
}

// chain makes directories d in each other, each with a directory e and a file f
// beside.
func chain(t *testing.T, dir string, levels int) {
	t.Helper()
	at, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	for range levels {
		for _, name := range []string{"d", "e"} {
			if err == nil {
				err = unix.Mkdirat(at, name, 0o755)
			}
		}
		if err == nil {
			err = unix.Mknodat(at, "f", unix.S_IFREG|0o644, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		next, oerr := unix.Openat(at, "d", unix.O_PATH|unix.O_DIRECTORY, 0)
		unix.Close(at)
		at, err = next, oerr
	}
	unix.Close(at)
}

// removeChain takes it away from above, a level at a time: a recursive removal
// holds a directory open for each.
func removeChain(t *testing.T, dir string, levels int) {
	t.Helper()
	for range levels {
		unix.Unlink(dir + "/f")
		unix.Rmdir(dir + "/e")
		if unix.Access(dir+"/d", 0) != nil {
			return
		}
		if err := unix.Rename(dir+"/d", dir+"/next"); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"d", "e", "f"} {
			if err := unix.Rename(dir+"/next/"+name, dir+"/"+name); err != nil && err != unix.ENOENT {
				t.Fatal(err)
			}
		}
		unix.Rmdir(dir + "/next")
	}
}
