package tripwire

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// shelfBase is the FUSE node id above which all that stands on shelves is numbered.
const shelfBase = 1 << 62

// shelfNode is a shelf, a directory on one, or a file there. It stays as long as
// the server does, so that the kernel's references need not be counted.
type shelfNode struct {
	names []string          // of a directory, in the order they came: an offset stays what it was
	ids   map[string]uint64 // of a directory: what it holds
	file  Shelved           // of a directory without content
	at    Attr              // of the shelf: whose it is, and its times
}

func (n *shelfNode) attr(id uint64) Attr {
	a := n.at
	a.Mode, a.Size, a.Ino, a.Nlink = unix.S_IFREG|0o444, int64(len(n.file.Content)), id, 1
	if n.ids != nil {
		a.Mode, a.Nlink = unix.S_IFDIR|0o555, 2
	}
	return a
}

// shelve puts files on the shelf that node id is; those that stand there stay.
func (d *daemon) shelve(id uint64, files []Shelved) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.nodes[id+1]
	if e == nil || !e.Attr.Dir {
		return errNoShelf
	}
	if d.shelves == nil {
		d.shelves = map[uint64]*shelfNode{}
	}
	top := d.shelves[id+1]
	if top == nil {
		top = &shelfNode{ids: map[string]uint64{}, file: Shelved{Node: id, Path: e.Path, Rule: e.Rule}, at: e.Attr}
		d.shelves[id+1] = top
	}
	for _, f := range files {
		dir, there := top, true
		if f.Dir != "" {
			dir, there = d.stand(top, f.Dir)
		}
		if !there {
			dir.ids, dir.file = map[string]uint64{}, Shelved{Node: id, Path: e.Path + "/" + f.Dir, Rule: e.Rule}
		}
		if n, there := d.stand(dir, f.Name); !there {
			n.file = f
		}
	}
	return nil
}

// stand finds a name in a directory of a shelf, or makes it.
func (d *daemon) stand(in *shelfNode, name string) (n *shelfNode, there bool) {
	if id, ok := in.ids[name]; ok {
		return d.shelves[id], true
	}
	id := shelfBase + uint64(len(d.shelves))
	n = &shelfNode{at: in.at}
	d.shelves[id] = n
	in.ids[name], in.names = id, append(in.names, name)
	return n, false
}

// serveShelf answers what is asked of a shelf. Looking about is free, as with
// stat: the names say nothing that git's own trees do not. To open a file is
// reported before it is answered.
func (d *daemon) serveShelf(r request) (served bool, err error) {
	d.mu.RLock()
	n := d.shelves[r.node]
	d.mu.RUnlock()
	if n == nil {
		return false, nil
	}
	switch r.op {
	case opGetattr:
		return true, d.answer(r, 0, attrReply(n.attr(r.node)))
	case opAccess:
		return true, d.answer(r, access(n.attr(r.node), r.u32(0)), nil)
	case opLseek, opIoctl, opPoll:
		return true, d.answer(r, unix.ENOSYS, nil) // the kernel does it, or nobody
	}
	if n.ids != nil {
		return true, d.serveShelfDir(r, n)
	}
	at := Node{ID: n.file.Node, Path: n.file.Path, Rule: n.file.Rule}
	switch {
	case r.op == opOpen && r.u32(0)&(unix.O_ACCMODE|unix.O_TRUNC) == unix.O_RDONLY:
		if n.file.Free {
			return true, d.answer(r, 0, openReply(openKeepCache))
		}
		if err := d.reportRead(d.event(r, at, OpWithheld)); err != nil {
			return true, err
		}
		return true, d.answer(r, 0, openReply(openKeepCache))
	case r.op == opRead:
		b := n.file.Content
		from := min(r.u64(8), uint64(len(b)))
		return true, d.answer(r, 0, b[from:min(from+uint64(r.u32(16)), uint64(len(b)))])
	}
	return true, d.refuse(r, at, unix.EACCES)
}

func (d *daemon) serveShelfDir(r request, n *shelfNode) error {
	switch r.op {
	case opLookup:
		d.mu.RLock()
		id, ok := n.ids[r.name()]
		var body []byte
		if ok {
			body = entryReply(id, d.shelves[id].attr(id))
			order.PutUint64(body[16:], validFor) // what stands on a shelf stays
		}
		d.mu.RUnlock()
		switch {
		case !ok && r.node < shelfBase:
			// Git looks for each object that it is about to write: the kernel keeps for
			// a second that there is no directory for it.
			body = make([]byte, 128)
			order.PutUint64(body[16:], 1)
		case !ok:
			return d.answer(r, unix.ENOENT, nil)
		}
		return d.answer(r, 0, body)
	case opOpendir:
		return d.answer(r, 0, openReply(0))
	case opReaddir:
		d.mu.RLock()
		body := n.list(r.u64(8), int(r.u32(16)))
		d.mu.RUnlock()
		return d.answer(r, 0, body)
	}
	return d.refuse(r, Node{ID: n.file.Node, Path: n.file.Path, Rule: n.file.Rule}, unix.EPERM)
}

// reader is a program, and what it read the stand-in of.
type reader struct {
	pid   int
	start uint64
	image string // executable and arguments
	node  uint64
}

const maxReaders = 4096

// reportRead sends the event of an open, unless the same program has read a
// stand-in of the same path before: git opens an object once for its kind, once
// for its size, and again.
func (d *daemon) reportRead(e Event) error {
	d.reading.Lock()
	defer d.reading.Unlock()
	who := reader{e.Peer.PID, e.Peer.Start, e.Peer.Exe + "\x00" + strings.Join(e.Peer.Argv, "\x00"), e.Node}
	if e.Peer.Start != 0 && d.read[who] {
		return nil
	}
	if d.read == nil || len(d.read) >= maxReaders {
		d.read = map[reader]bool{}
	}
	d.read[who] = true
	return d.report(e)
}

// list is a part of a directory, from an offset on, of at most size bytes.
func (n *shelfNode) list(from uint64, size int) (b []byte) {
	from = min(from, uint64(len(n.names)))
	for i, name := range n.names[from:] {
		entry := direntBytes(n.ids[name], from+uint64(i)+1, name)
		if len(b)+len(entry) > size {
			break
		}
		b = append(b, entry...)
	}
	return b
}

// direntBytes is struct fuse_dirent of unknown type, padded to 8 bytes.
func direntBytes(ino, next uint64, name string) []byte {
	b := make([]byte, 24, 24+len(name)+7)
	order.PutUint64(b, ino)
	order.PutUint64(b[8:], next)
	order.PutUint32(b[16:], uint32(len(name)))
	b = append(b, name...)
	return slices.Concat(b, make([]byte, (8-len(b)%8)%8))
}

// openReply is struct fuse_open_out.
func openReply(flags uint32) []byte {
	b := make([]byte, 16)
	order.PutUint32(b[8:], flags)
	return b
}
