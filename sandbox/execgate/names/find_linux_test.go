package names

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const info = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:57 /1 /p/.env rw,nosuid,nodev - fuse.tripwire tripwire rw,user_id=0
41 22 0:57 /77 /p/other rw,nosuid,nodev shared:3 master:4 - fuse.tripwire tripwire rw
42 22 0:30 /nodir /p/a\040b ro - tmpfs backstage rw
43 22 0:31 / /p/bulk rw - ext4 /dev/vda rw
44 bad
`

func TestMounted(t *testing.T) {
	s := guarded()
	for id, want := range map[uint64]string{40: "/p/.env", 41: "", 42: "/p/a b", 43: "", 44: "", 45: "", 22: ""} {
		if g, ok := s.mounted([]byte(info), id); g.Path != want || ok != (want != "") {
			t.Errorf("%d: %+v %v", id, g, ok)
		}
	}
	if got := nodesIn([]byte(info)); got != device(0, 57) {
		t.Errorf("device %#x", got)
	}
	if got := nodesIn([]byte("22 1 254:0 / / rw - ext4 /dev/vda rw\n")); got != noNodes {
		t.Errorf("device %#x", got)
	}
}

func FuzzMounted(f *testing.F) {
	f.Add([]byte(info))
	f.Add([]byte("40 22 0:57 /1 - - fuse.tripwire\n40 \n"))
	s := guarded()
	f.Fuzz(func(t *testing.T, b []byte) {
		s.mounted(b, 40)
		nodesIn(b)
	})
}

// TestFindWithoutMounts: a guarded name over which nothing lies is nobody's.
func TestFindWithoutMounts(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".env"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(".env", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	s := guarded()
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	c := Caller{Root: root, TGID: os.Getpid(), TID: os.Getpid()}
	for _, o := range []Operand{
		{Dir: unix.AT_FDCWD, Path: dir + "/.env"},
		{Dir: unix.AT_FDCWD, Path: dir + "/link", Follow: true},
		{Dir: unix.AT_FDCWD, Path: dir + "/none/.env"},
		{Dir: root, Path: strings.TrimPrefix(dir, "/") + "/.env"},
		{Dir: 9999, Path: ".env"},
		{Dir: 9999},
		{Dir: root},
		{Dir: root, Path: ".."},
		{Dir: root, Path: "/"},
	} {
		if g, ok := s.Find(c, o); ok {
			t.Errorf("%+v: %+v", o, g)
		}
	}
}
