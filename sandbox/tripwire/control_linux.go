package tripwire

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// control takes orders from the session until it closes its end.
func (d *daemon) control() error {
	buf := make([]byte, maxMessage+1)
	for {
		n, err := unix.Read(d.ctl, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("control socket: %w", err)
		}
		if n == 0 {
			return nil
		}
		id, err := d.obey(buf[0], buf[1:n])
		text := ""
		if err != nil {
			text = err.Error()
		}
		if err := d.send(encodeAck(id, text)); err != nil {
			return fmt.Errorf("control socket: %w", err)
		}
	}
}

func (d *daemon) obey(kind byte, msg []byte) (id uint64, err error) {
	switch kind {
	case msgAdd:
		n, err := decodeNode(msg)
		if err != nil {
			return n.ID, err
		}
		n.Attr = shown(n.Attr)
		return n.ID, d.put(n)
	case msgRemove:
		dec := &decoder{b: msg}
		id = dec.u()
		if err := dec.end(); err != nil {
			return id, err
		}
		return id, d.remove(id)
	case msgShelve:
		shelf, files, err := decodeShelved(msg)
		if err != nil {
			return shelf, err
		}
		return shelf, d.shelve(shelf, files)
	}
	return 0, errWire
}

func (d *daemon) put(n Node) error {
	d.mu.Lock()
	old := d.nodes[n.ID+1]
	if old == nil {
		d.nodes[n.ID+1] = &entry{Node: n}
		d.mu.Unlock()
		return nil
	}
	if (old.Attr.Mode^n.Attr.Mode)&unix.S_IFMT != 0 {
		d.mu.Unlock()
		return errors.New("a node cannot change its type")
	}
	old.Node, old.removed = n, false
	d.mu.Unlock()
	// The kernel may not know the node yet; then there is nothing to forget.
	if _, err := unix.Write(d.fuse, invalReply(n.ID+1)); err != nil && err != unix.ENOENT {
		return fmt.Errorf("renew: %w", err)
	}
	return nil
}

func (d *daemon) remove(id uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.nodes[id+1]
	if e == nil {
		return errors.New("no such node")
	}
	if e.removed = true; e.lookups == 0 {
		delete(d.nodes, id+1)
	}
	return nil
}

// shown is what a node shows of a. Only directories, symlinks and regular files
// ask the server before they are opened: the kernel would open a fifo or a
// device by itself.
func shown(a Attr) Attr {
	typ := a.Mode & unix.S_IFMT
	switch {
	case a.Dir:
		typ = unix.S_IFDIR
	case typ != unix.S_IFLNK:
		typ = unix.S_IFREG
	}
	a.Mode = a.Mode&0o7777 | typ
	a.Nlink = max(a.Nlink, 1)
	return a
}

// shed gives up what the server does not need: descriptors that strayed in,
// core dumps, new privileges, and, as root, every capability but the one that
// reads who a caller is.
func shed() {
	closeStrays()
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	_, _, _ = syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if unix.Capget(&hdr, &caps[0]) != nil {
		return
	}
	keep := [2]unix.CapUserData{{Effective: 1 << unix.CAP_SYS_PTRACE, Permitted: 1 << unix.CAP_SYS_PTRACE}}
	keep[0].Effective &= caps[0].Permitted
	keep[0].Permitted &= caps[0].Permitted
	_, _, _ = syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&keep[0])), 0)
}

// closeStrays closes every descriptor above ours but the Go runtime's own.
func closeStrays() {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= ctlFD {
			continue
		}
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(target, "anon_inode:[event") {
			continue
		}
		_ = unix.Close(fd)
	}
}
