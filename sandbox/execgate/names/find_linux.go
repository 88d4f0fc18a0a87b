package names

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/internal/asseen"
)

// Caller is the thread whose view a path is looked at in.
type Caller struct {
	Root      int // its root directory, as a place
	TGID, TID int
}

// Operand is one path of a call.
type Operand struct {
	Dir    int // the descriptor that a relative path starts at, or AT_FDCWD
	Path   string
	Follow bool // a symlink at its end is followed
	New    bool // it must not be there: only the directory counts
	Made   bool // the call makes it: what is frozen counts too
}

// fuseType is what mountinfo calls the tripwires' file system (proc_pid_mountinfo(5)).
const fuseType = "fuse.tripwire"

// Find says which guard a call on the operand meets.
func (s *Set) Find(c Caller, o Operand) (Guard, bool) {
	l := look{set: s, c: c}
	if o.Path == "" {
		return l.behind(o.Dir)
	}
	for range maxLinks {
		g, ok, next := l.step(o)
		if ok || next == "" {
			return g, ok
		}
		o.Path = next
	}
	return Guard{}, false
}

const maxLinks = 40 // MAXSYMLINKS of include/linux/namei.h

// step looks at the operand's last name, and gives the path that a link there
// leads to, if it is to be followed.
func (l look) step(o Operand) (g Guard, ok bool, next string) {
	pl, name, err := l.parent(o)
	if err != nil { // the directory may be a node, of which nobody outside is told
		if dir, _ := path.Split(strings.TrimRight(o.Path, "/")); dir != "" && dir != o.Path {
			g, ok = l.set.Find(l.c, Operand{Dir: o.Dir, Path: dir, Follow: true})
		}
		return g, ok && g.Frozen, ""
	}
	defer pl.Close()
	if g, ok = l.at(pl.FD, ""); ok && !g.Held { // a name in a guarded directory
		return g, g.Frozen, ""
	}
	if o.New {
		return g, false, ""
	}
	if g, ok = l.at(pl.FD, name); ok || !o.Follow {
		return g, ok && (g.Frozen || !o.Made), ""
	}
	if end, errno := l.resolve(o.Dir, o.Path); errno == 0 {
		defer end.Close()
		g, ok = l.at(end.FD, "")
		return g, ok, ""
	}
	// It leads to a node, of which nothing more can be asked.
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(pl.FD, name, buf[:])
	if err != nil || n == 0 {
		return g, false, ""
	}
	if next = string(buf[:n]); !strings.HasPrefix(next, "/") {
		dir, _ := path.Split(strings.TrimRight(o.Path, "/"))
		next = dir + next
	}
	return g, false, next
}

// parent opens the directory that an operand's last name is in.
func (l look) parent(o Operand) (pl asseen.Place, name string, err error) {
	dir, name := path.Split(strings.TrimRight(o.Path, "/"))
	if name == "" || name == "." || name == ".." {
		return pl, "", unix.ENOENT
	}
	pl, errno := l.resolve(o.Dir, dir)
	if errno != 0 {
		return pl, "", errno
	}
	return pl, name, nil
}

// behind is the guard that a descriptor of the caller stands for.
func (l look) behind(fd int) (Guard, bool) {
	at, err := unix.Open(l.c.link("fd/"+strconv.Itoa(fd)), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return Guard{}, false
	}
	defer unix.Close(at)
	return l.at(at, "")
}

func (c Caller) link(name string) string { return "/proc/" + strconv.Itoa(c.TID) + "/" + name }

// look is one search in a caller's view.
type look struct {
	set *Set
	c   Caller
}

// resolve opens a path as the caller would.
func (l look) resolve(dir int, name string) (asseen.Place, unix.Errno) {
	start := l.c.link("cwd")
	if dir != unix.AT_FDCWD {
		start = l.c.link("fd/" + strconv.Itoa(dir))
	}
	if name == "" {
		fd, err := unix.Open(start, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return asseen.Place{FD: -1}, unix.ENOENT
		}
		return asseen.Place{FD: fd}, 0
	}
	if !strings.HasPrefix(name, "/") {
		at, err := os.Readlink(start)
		if err != nil || !strings.HasPrefix(at, "/") {
			return asseen.Place{FD: -1}, unix.ENOENT
		}
		name = at + "/" + name
	}
	return asseen.Resolve(l.c.Root, l.c.TGID, l.c.TID, name, true)
}

// at finds the guard whose mount lies at a name of a directory, or, without a
// name, at the directory itself. Of a node nothing is asked but its mount, which
// is in the mask or not: its file system lets nobody outside the session ask
// more, so that to look is no attempt.
func (l look) at(fd int, name string) (Guard, bool) {
	var st unix.Statx_t
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT | unix.AT_STATX_DONT_SYNC
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	if unix.Statx(fd, name, flags, 0, &st) != nil || st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return Guard{}, false
	}
	nodes := l.set.nodes.Load()
	if name == "" && nodes > noNodes && nodes != device(st.Dev_major, st.Dev_minor) {
		return Guard{}, false // the root of the project, or its like
	}
	b, err := os.ReadFile(l.c.link("mountinfo"))
	if err != nil {
		return Guard{}, false
	}
	if nodes == 0 {
		l.set.nodes.Store(nodesIn(b))
	}
	return l.set.mounted(b, st.Mnt_id)
}

// noNodes stands for the device of the nodes where there are none.
const noNodes = 1

func device(major, minor uint32) uint64 { return noNodes + 1 + uint64(major)<<32 + uint64(minor) }

// nodesIn is the device of the nodes in a mountinfo. They are there before
// anything of the agent runs.
func nodesIn(info []byte) uint64 {
	for line := range bytes.Lines(info) {
		if !bytes.Contains(line, []byte(" - "+fuseType+" ")) {
			continue
		}
		var major, minor uint32
		if f := strings.Fields(string(line)); len(f) > 2 {
			if _, err := fmt.Sscanf(f[2], "%d:%d", &major, &minor); err == nil {
				return device(major, minor)
			}
		}
	}
	return noNodes
}

// mounted finds a mount in a mountinfo: a node names its guard, a mount of
// another kind stands at its path.
func (s *Set) mounted(info []byte, id uint64) (Guard, bool) {
	want := strconv.AppendUint(nil, id, 10)
	for line := range bytes.Lines(info) {
		number, rest, _ := bytes.Cut(line, []byte{' '})
		if !bytes.Equal(number, want) {
			continue
		}
		f := strings.Fields(string(rest)) // parent, device, root, place, options, …
		for i, word := range f {
			if word == "-" && i >= 5 && i+1 < len(f) && f[i+1] == fuseType {
				node, err := strconv.ParseUint(strings.TrimPrefix(f[2], "/"), 10, 64)
				if err != nil {
					return Guard{}, false
				}
				return s.byID(node)
			}
		}
		if len(f) > 3 {
			return s.byPath(unescape(f[3]))
		}
	}
	return Guard{}, false
}

// unescape undoes the octal escapes of a mountinfo.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
