package tripwire

import (
	"bytes"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/internal/procstat"
)

// A trap is an empty directory that an overlay file system has for its upper or its
// work directory. What is read there comes from the lower one, and the trap is not
// asked; a call that would change anything there must first copy it up, in the name
// of whoever called: that is refused and reported, as a write to the trap's path.
// Only its maker, who mounts the overlay, may make here what a mount wants to find.

// trapBase is the FUSE node id above which what makers make is numbered.
const trapBase = 1 << 61

// trapped is what a maker made: a directory, a file, or the trace of a renamed one.
type trapped struct {
	trap uint64 // FUSE node id
	mode uint32
}

// serveTrap answers what is asked of a trap, or of what was made there.
func (d *daemon) serveTrap(r request) (served bool, err error) {
	d.mu.RLock()
	id, mode := r.node, uint32(unix.S_IFDIR|0o700)
	made, ok := d.trapped[r.node]
	if ok {
		id, mode = made.trap, made.mode
	}
	e := d.nodes[id]
	var n Node
	if e != nil {
		n = e.Node
	}
	d.mu.RUnlock()
	if n.Maker == 0 {
		return false, nil
	}
	a := n.Attr
	a.Mode, a.Ino, a.Nlink = mode, r.node, 1
	switch r.op {
	case opGetattr:
		return true, d.answer(r, 0, attrReply(a))
	case opAccess:
		return true, d.answer(r, access(a, r.u32(0)), nil)
	case opOpendir:
		return true, d.answer(r, 0, openReply(0))
	}
	if tgid, err := procstat.StatusField(int(r.pid), "Tgid:"); err == nil && tgid == n.Maker {
		return true, d.serveMaker(r, id, a)
	}
	switch r.op {
	case opLookup: // a step of a call that comes to more
		return true, d.answer(r, unix.ENOENT, nil)
	case opReaddir:
		return true, d.answer(r, 0, nil)
	}
	ev := d.event(r, n, OpWrite)
	ev.Path = n.Path // not of a name that the overlay chose
	if err := d.report(ev); err != nil {
		return true, err
	}
	return true, d.answer(r, unix.EPERM, nil)
}

// serveMaker is a directory as far as a mount tries it (fs/overlayfs/super.c,
// ovl_make_workdir): types of names, extended attributes, a rename that leaves a
// whiteout.
func (d *daemon) serveMaker(r request, trap uint64, a Attr) error {
	switch r.op {
	case opReaddir:
		if r.u64(8) > 0 {
			return d.answer(r, 0, nil)
		}
		b := direntBytes(trap, 1, "work")
		order.PutUint32(b[20:], unix.DT_DIR)
		return d.answer(r, 0, b)
	case opLookup:
		d.mu.RLock()
		white := r.name() != "" && d.white == r.name()
		d.mu.RUnlock()
		if white {
			return d.answer(r, 0, d.trapMade(trap, unix.S_IFCHR, a))
		}
		return d.answer(r, unix.ENOENT, nil)
	case opMkdir:
		return d.answer(r, 0, d.trapMade(trap, unix.S_IFDIR|0o700, a))
	case opMknod:
		return d.answer(r, 0, d.trapMade(trap, unix.S_IFREG|0o600, a))
	case opRename2:
		from, _, _ := bytes.Cut(r.body[min(16, len(r.body)):], []byte{0})
		d.mu.Lock()
		d.white = string(from)
		d.mu.Unlock()
		return d.answer(r, 0, nil)
	case opSetattr:
		return d.answer(r, 0, attrReply(a))
	case opUnlink, opRmdir, opSetxattr, opRemovexattr:
		return d.answer(r, 0, nil)
	}
	return d.answer(r, unix.ENOSYS, nil)
}

// trapMade is the reply to who made something in a trap. It is forgotten with the server:
// some five for each mount.
func (d *daemon) trapMade(trap uint64, mode uint32, a Attr) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.trapped == nil {
		d.trapped = map[uint64]trapped{}
	}
	id := trapBase + uint64(len(d.trapped))
	d.trapped[id] = trapped{trap, mode}
	a.Mode, a.Ino = mode, id
	return entryReply(id, a)
}
