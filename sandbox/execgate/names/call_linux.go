//go:build amd64 || arm64

package names

import (
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/sandbox/seccomp"
)

// Errno is what a call on the guard's name gets; otherwise, where it is denied.
func (g Guard) Errno(otherwise unix.Errno) unix.Errno {
	switch {
	case g.Frozen:
		return unix.EPERM
	case g.Held:
		return unix.EBUSY // as the kernel says of any mount point
	}
	return otherwise
}

// form says where the paths of a call stand among its arguments.
type form struct {
	op    string // of the record
	n     int    // how many paths
	at    bool   // each behind the directory that it starts in
	flags int    // argument that holds flags; 0: none
}

func formOf(call string) form {
	switch call {
	case "unlink", "rmdir":
		return form{op: "unlink", n: 1}
	case "unlinkat":
		return form{op: "unlink", n: 1, at: true}
	case "rename":
		return form{op: "rename", n: 2}
	case "renameat":
		return form{op: "rename", n: 2, at: true}
	case "renameat2":
		return form{op: "rename", n: 2, at: true, flags: 4}
	case "link":
		return form{op: "link", n: 2}
	}
	return form{op: "link", n: 2, at: true, flags: 4}
}

// Call is a notified call that names files. It is read anew for each.
type Call struct {
	form
	args  [6]uint64
	paths [2][unix.PathMax]byte
	sizes [2]int
	hit   int // which of the paths means the guard
}

// Op is what the call does: unlink, rename or link.
func (c *Call) Op() string { return c.op }

// Read reads the paths of a call that meets the row, and reports whether one
// could mean a name of the set. What cannot be read, the kernel cannot read either.
func (c *Call) Read(s *Set, m *seccomp.Memory, row *seccomp.Row, args [6]uint64) bool {
	if s == nil {
		return false
	}
	c.form, c.args = formOf(row.Call), args
	hit := c.op == "link" && c.flag(unix.AT_SYMLINK_FOLLOW|unix.AT_EMPTY_PATH)
	for i := range c.n {
		at := i
		if c.at {
			at = 2*i + 1
		}
		p, errno := m.Path(c.paths[i][:], args[at])
		if errno != 0 {
			return false
		}
		c.sizes[i] = len(p)
		hit = hit || s.Has(p)
	}
	return hit
}

func (c *Call) flag(bits uint32) bool { return c.flags != 0 && uint32(c.args[c.flags])&bits != 0 }

// Guard says what the call that was read meets.
func (c *Call) Guard(s *Set, who Caller) (Guard, bool) {
	for i := range c.n {
		if g, ok := s.Find(who, c.operand(i)); ok && (!g.Held || c.op == "rename") {
			c.hit = i
			return g, true
		}
	}
	return Guard{}, false
}

func (c *Call) operand(i int) Operand {
	o := Operand{Dir: unix.AT_FDCWD, Path: string(c.paths[i][:c.sizes[i]]), Follow: i == 0 && c.op == "link" && c.flag(unix.AT_SYMLINK_FOLLOW)}
	if c.at {
		o.Dir = int(int32(c.args[2*i]))
	}
	// Where a second path must be missing, the kernel says EEXIST of what is there.
	o.Made = i == 1 && c.op == "link"
	o.New = i == 1 && !o.Made && c.flag(unix.RENAME_NOREPLACE)
	return o
}

// maxText bounds a text, bytes.
const maxText = 1 << 20

// Hand reads the file that the call would rename over the guard it meets, hands
// the bytes to take, and, if take has them, removes the file. Any other call is
// EPERM, and so is what is not a small regular file in the guard's own directory,
// where git has its lock files; else the error is take's.
func (c *Call) Hand(who Caller, take func([]byte) error) error {
	if c.op != "rename" || c.hit != 1 || c.flag(^uint32(0)) {
		return unix.EPERM
	}
	l := look{c: who}
	from, name, err := l.parent(c.operand(0))
	if err != nil {
		return unix.EPERM
	}
	defer from.Close()
	to, _, err := l.parent(c.operand(1))
	if err != nil {
		return unix.EPERM
	}
	defer to.Close()
	if !same(from.FD, to.FD) {
		return unix.EPERM
	}
	text, err := readText(from.FD, name)
	if err != nil {
		return unix.EPERM
	}
	if err := take(text); err != nil {
		return err
	}
	_ = unix.Unlinkat(from.FD, name, 0) // gone already: the agent's own affair
	return nil
}

func same(a, b int) bool {
	var x, y unix.Stat_t
	return unix.Fstat(a, &x) == nil && unix.Fstat(b, &y) == nil && x.Dev == y.Dev && x.Ino == y.Ino
}

// readText reads a file once. It may grow or be cut meanwhile: what was read counts.
func readText(dir int, name string) ([]byte, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, unix.EPERM
	}
	b, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if len(b) > maxText {
		return nil, unix.EFBIG
	}
	return b, err
}
