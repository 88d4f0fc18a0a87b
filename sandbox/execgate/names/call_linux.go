//go:build amd64 || arm64

package names

import (
	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/sandbox/seccomp"
)

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
		o := Operand{Dir: unix.AT_FDCWD, Path: string(c.paths[i][:c.sizes[i]]), Follow: i == 0 && c.op == "link" && c.flag(unix.AT_SYMLINK_FOLLOW)}
		if c.at {
			o.Dir = int(int32(c.args[2*i]))
		}
		// Where a second path must be missing, the kernel says EEXIST of what is there.
		o.New = i == 1 && (c.op == "link" || c.flag(unix.RENAME_NOREPLACE))
		if g, ok := s.Find(who, o); ok {
			return g, true
		}
	}
	return Guard{}, false
}
