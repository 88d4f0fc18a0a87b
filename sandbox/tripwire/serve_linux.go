package tripwire

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	fuseFD  = 3
	ctlFD   = 4
	workers = 8
)

// Main is the server's process if args ask for it ("__tripwire"); it then does
// not return. It needs the mounted FUSE descriptor as 3 and the control socket
// as 4, and ends at the end of either.
func Main(args []string) (handled bool) {
	if len(args) == 0 || args[0] != Command {
		return false
	}
	shed()
	d := &daemon{fuse: fuseFD, ctl: ctlFD, nodes: map[uint64]*entry{}, now: time.Now}
	if err := d.run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
	return true
}

type entry struct {
	Node
	removed bool
	lookups uint64 // the kernel's references
}

type daemon struct {
	fuse, ctl int
	now       func() time.Time

	mu      sync.RWMutex
	nodes   map[uint64]*entry     // by FUSE node id, which is Node.ID + 1
	shelves map[uint64]*shelfNode // by FUSE node id
	trapped map[uint64]trapped    // by FUSE node id
	white   string                // name of the last whiteout in a trap

	reading sync.Mutex // held until the event of an open on a shelf is sent
	read    map[reader]bool
}

// run serves until the session closes its end or the kernel unmounts.
func (d *daemon) run() error {
	if err := d.greet(); err != nil {
		return err
	}
	if _, err := unix.Write(d.ctl, []byte{msgReady}); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	ended := make(chan error, workers+1)
	for range workers {
		go func() { ended <- d.work() }()
	}
	go func() { ended <- d.control() }()
	return <-ended
}

// greet answers the kernel's first request.
func (d *daemon) greet() error {
	buf := make([]byte, requestSize)
	for {
		r, err := d.next(buf)
		if err != nil {
			return err
		}
		if r.op != opInit {
			return fmt.Errorf("the kernel's first request is %d, not INIT", r.op)
		}
		body, ok := initReply(r)
		if !ok {
			_ = d.answer(r, unix.EPROTO, nil)
			return fmt.Errorf("the kernel speaks FUSE %d.%d, older than %d.%d", r.u32(0), r.u32(4), protoMajor, protoMinor)
		}
		if err := d.answer(r, 0, body); err != nil {
			return err
		}
		if r.u32(0) <= protoMajor {
			return nil
		}
	}
}

// next reads one request.
func (d *daemon) next(buf []byte) (request, error) {
	for {
		n, err := unix.Read(d.fuse, buf)
		switch {
		case err == unix.EINTR || err == unix.EAGAIN || err == unix.ENOENT: // ENOENT: the caller was killed before we read
			continue
		case err != nil:
			return request{}, fmt.Errorf("read /dev/fuse: %w", err)
		}
		r, ok := parseRequest(buf[:n])
		if !ok {
			return r, errors.New("malformed request from the kernel")
		}
		return r, nil
	}
}

func (d *daemon) answer(r request, errno unix.Errno, body []byte) error {
	_, err := unix.Write(d.fuse, reply(r.unique, errno, body))
	if err == unix.ENOENT || err == unix.EINTR { // the caller is gone
		return nil
	}
	return err
}

// work answers requests until the file system is gone.
func (d *daemon) work() error {
	buf := make([]byte, requestSize)
	for {
		r, err := d.next(buf)
		if errors.Is(err, unix.ENODEV) {
			return nil // unmounted
		}
		if err != nil {
			return err
		}
		if err := d.serve(r); err != nil {
			return err
		}
	}
}

func (d *daemon) serve(r request) error {
	switch r.op {
	case opForget:
		d.forget(r.node, r.u64(0))
		return nil
	case opBatchForget:
		for i := range min(int(r.u32(0)), len(r.body)/16) {
			d.forget(r.u64(8+16*i), r.u64(16+16*i))
		}
		return nil
	case opInterrupt:
		return nil // the interrupted call is answered at once anyway, and counts
	case opDestroy:
		return d.answer(r, 0, nil)
	case opStatfs:
		return d.answer(r, 0, make([]byte, 80))
	case opGetxattr, opListxattr, opStatx, opBmap, opSyncfs:
		return d.answer(r, unix.ENOSYS, nil) // there are none, and the kernel need not ask again
	case opRelease, opReleasedir, opFlush:
		return d.answer(r, 0, nil)
	}
	if r.node == rootID {
		return d.serveRoot(r)
	}
	if served, err := d.serveShelf(r); served {
		return err
	}
	if served, err := d.serveTrap(r); served {
		return err
	}
	d.mu.RLock()
	e, ok := d.nodes[r.node]
	var n Node
	if ok {
		n = e.Node
	}
	d.mu.RUnlock()
	if !ok {
		n = Node{ID: r.node - 1} // never expected; refused and reported by its number
	}
	switch r.op {
	case opGetattr:
		if !ok {
			return d.answer(r, unix.ESTALE, nil)
		}
		return d.answer(r, 0, attrReply(n.Attr))
	case opAccess:
		return d.answer(r, access(n.Attr, r.u32(0)), nil)
	}
	return d.refuse(r, n, unix.EACCES)
}

// serveRoot lets the namespace's builder find nodes by id, and nobody list them.
func (d *daemon) serveRoot(r request) error {
	switch r.op {
	case opGetattr:
		return d.answer(r, 0, attrReply(Attr{Mode: unix.S_IFDIR | 0o555, Ino: rootID, Nlink: 2}))
	case opAccess:
		return d.answer(r, 0, nil)
	case opLookup:
		id, err := strconv.ParseUint(r.name(), 10, 64)
		d.mu.Lock()
		e := d.nodes[id+1]
		if err != nil || e == nil || e.removed {
			d.mu.Unlock()
			return d.answer(r, unix.ENOENT, nil)
		}
		e.lookups++
		body := entryReply(id+1, e.Attr)
		d.mu.Unlock()
		return d.answer(r, 0, body)
	}
	return d.answer(r, unix.EACCES, nil)
}

// access answers access(2) and chdir(2) as the mode bits do, whoever asks.
func access(a Attr, mask uint32) unix.Errno {
	bits := a.Mode | a.Mode>>3 | a.Mode>>6
	if mask&7&^bits != 0 {
		return unix.EACCES
	}
	return 0
}

// refuse reports the call and only then answers it.
func (d *daemon) refuse(r request, n Node, errno unix.Errno) error {
	if err := d.report(d.event(r, n, opName(r))); err != nil {
		return err
	}
	return d.answer(r, errno, nil)
}

// event names a call that waits for its answer, and its caller.
func (d *daemon) event(r request, n Node, op string) Event {
	e := Event{Node: n.ID, Path: n.Path, Rule: n.Rule, Op: op, TID: int(r.pid), Time: d.now()}
	switch r.op {
	case opLookup, opMkdir, opMknod, opCreate, opUnlink, opRmdir:
		if name := nameBelow(r); name != "" {
			e.Path += "/" + name
		}
	}
	e.Peer = resolve(int(r.pid), r.uid)
	return e
}

// report sends an event. If it cannot be sent, the server ends, and the kernel
// refuses in its stead.
func (d *daemon) report(e Event) error {
	if err := d.send(encodeEvent(e)); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

func (d *daemon) send(msg []byte) error {
	for {
		_, err := unix.Write(d.ctl, msg)
		if err != unix.EINTR {
			return err
		}
	}
}

// nameBelow finds the name behind the fixed part of a request.
func nameBelow(r request) string {
	skip := map[uint32]int{opMkdir: 8, opMknod: 16, opCreate: 16}[r.op]
	if len(r.body) < skip {
		return ""
	}
	r.body = r.body[skip:]
	return r.name()
}

// opName names what the caller wanted.
func opName(r request) string {
	switch r.op {
	case opOpen:
		return openName(r.u32(0))
	case opSetattr:
		return setattrName(r.u32(0))
	case opLookup:
		return OpLookup
	case opOpendir:
		return OpList
	case opReadlink:
		return OpReadlink
	case opSetxattr, opRemovexattr:
		return OpXattr
	case opCreate, opMknod, opMkdir, opSymlink, opTmpfile:
		return OpCreate
	case opUnlink, opRmdir:
		return OpUnlink
	case opRename, opRename2:
		return OpRename
	case opLink:
		return OpLink
	}
	return OpOther
}

func openName(flags uint32) string {
	switch {
	case flags&unix.O_TRUNC != 0:
		return OpTruncate
	case flags&unix.O_ACCMODE != unix.O_RDONLY:
		return OpWrite
	case flags&fmodeRun != 0:
		return OpExec
	}
	return OpRead
}

func setattrName(valid uint32) string {
	switch {
	case valid&setSize != 0:
		return OpTruncate
	case valid&setMode != 0:
		return OpChmod
	case valid&(setUID|setGID) != 0:
		return OpChown
	}
	return OpUtimes
}

func (d *daemon) forget(nodeid, n uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.nodes[nodeid]
	if e == nil {
		return
	}
	e.lookups -= min(n, e.lookups)
	if e.removed && e.lookups == 0 {
		delete(d.nodes, nodeid)
	}
}
