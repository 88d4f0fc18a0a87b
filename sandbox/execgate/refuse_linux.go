//go:build amd64 || arm64

package execgate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/flood"
	"github.com/countersign/countersign/sandbox/execgate/names"
	"github.com/countersign/countersign/sandbox/seccomp"
)

// refusals fold a flood of equal refusals: of one call, by one executable, of one
// destination or path.
type refusals struct {
	*flood.Flood[floodKey, refusal]
}

type floodKey struct{ call, exe, what string }

type refusal struct {
	a     countersign.Action
	call  string
	errno unix.Errno
}

func newRefusals(j Judge, now func() time.Time) refusals {
	return refusals{flood.New[floodKey](flood.Usual(), now, func(r refusal, n int) { j.Refused(r.a, r.call, r.errno, n) })}
}

// add counts a refusal and reports it unless it is one of a flood. An agent can
// make executables and addresses without end: then they are not told apart.
func (f refusals) add(a countersign.Action, call string, errno unix.Errno) {
	k := floodKey{call: call, exe: a.Peer.Exe}
	if a.Net != nil {
		k.what = fmt.Sprint(a.Net.Host, " ", a.Net.Port)
	}
	if a.File != nil {
		k.what = a.File.Path
	}
	f.Add(k, floodKey{call: call}, refusal{a, call, errno})
}

// refuse answers a call against the sandbox. The record is made first: a call
// that returned is on record.
func (w *worker) refuse(call string, errno unix.Errno) {
	a := w.action(countersign.KindTamper)
	a.Summary = call
	if w.s.listener.Valid(w.n.ID) {
		w.s.flood.add(a, call, errno)
	}
	w.fail(errno)
}

// refuseName refuses a call on a guarded name, and lets every other go on.
func (w *worker) refuseName(row *seccomp.Row) {
	root, err := w.s.rootFD(w.t.tid)
	g, ok, who := names.Guard{}, false, names.Caller{Root: root, TGID: w.t.tgid, TID: w.t.tid}
	if err == nil {
		g, ok = w.call.Guard(w.s.cfg.Names, who)
	}
	if !ok {
		w.goOn()
		return
	}
	a, errno := w.action(countersign.KindFileWrite), g.Errno(row.Errno)
	if g.Text {
		err := w.call.Hand(who, func(text []byte) error { return w.hand(g.Path, text) })
		if err == nil {
			w.fail(0) // done here, in the kernel's place
			return
		}
		if a.Summary = err.Error(); errors.Is(err, unix.EBUSY) {
			errno = unix.EBUSY
		}
	}
	a.File = &countersign.File{Path: g.Path, Op: w.call.Op(), Rule: g.Rule}
	if w.s.listener.Valid(w.n.ID) {
		w.s.flood.add(a, row.Call, errno)
	}
	w.fail(errno)
}

// hand has the bytes that a guarded text is to have decided, for a caller that
// still waits: they were read from its directory.
func (w *worker) hand(path string, text []byte) error {
	if w.s.cfg.Rewrite == nil || !w.s.listener.Valid(w.n.ID) {
		return unix.EPERM
	}
	return w.s.cfg.Rewrite(w.s.ctx, path, text)
}

func foreignName(d *seccomp.Data) string {
	if d.Arch == seccomp.Arch {
		return fmt.Sprintf("x32 call %d", uint32(d.NR)&^0x40000000)
	}
	return fmt.Sprintf("foreign call %d (architecture %#x)", d.NR, d.Arch)
}

// dialIsLocal reports whether a call that names a destination names a local one,
// or none; else w.to is where it leads. The address lies in memory and may
// change after it was read: what that lets through ends in an empty network
// namespace, which is the floor; this is for the record.
func (w *worker) dialIsLocal(call string) bool {
	args := w.n.Data.Args
	switch call {
	case "connect":
		return w.isLocal(args[1], uint32(args[2]))
	case "sendto":
		return w.isLocal(args[4], uint32(args[5]))
	case "sendmsg":
		return w.messagesAreLocal(args[1], 1)
	}
	return w.messagesAreLocal(args[1], min(int(uint32(args[2])), 64))
}

const (
	msghdrSize  = 56 // struct msghdr on 64 bits
	mmsghdrSize = 64
)

// messagesAreLocal stops at the first message that leads out.
func (w *worker) messagesAreLocal(addr uint64, n int) bool {
	for i := range n {
		var hdr [msghdrSize]byte
		if w.m.Read(hdr[:], addr+uint64(i)*mmsghdrSize) != 0 {
			return true // the kernel will say so itself
		}
		if !w.isLocal(binary.LittleEndian.Uint64(hdr[:]), binary.LittleEndian.Uint32(hdr[8:])) {
			return false
		}
	}
	return true
}

func (w *worker) isLocal(addr uint64, size uint32) bool {
	to, out := w.destination(addr, size)
	w.to = to
	return !out
}

func (w *worker) refuseDial(call string) {
	a, d := w.action(countersign.KindNet), w.to
	d.Proto = w.proto(d.Proto)
	a.Net = &d
	a.Summary = fmt.Sprintf("%s %s port %d", d.Proto, d.Host, d.Port)
	if w.s.listener.Valid(w.n.ID) {
		w.s.flood.add(a, call, unix.ECONNREFUSED)
	}
	w.fail(unix.ECONNREFUSED)
}

// proto tells tcp from udp by the caller's socket.
func (w *worker) proto(known string) string {
	if known != "" {
		return known
	}
	if typ, ok := socketType(w.t.tid, int(int32(w.n.Data.Args[0]))); ok && typ == unix.SOCK_DGRAM {
		return "udp"
	}
	return "tcp"
}

// destination reads a socket address and says whether it leads out.
func (w *worker) destination(addr uint64, size uint32) (countersign.Net, bool) {
	if addr == 0 || size < 2 {
		return countersign.Net{}, false
	}
	var sa [28]byte
	b := sa[:min(int(size), len(sa))]
	if w.m.Read(b, addr) != 0 {
		return countersign.Net{}, false // EFAULT is the kernel's to say
	}
	family := binary.LittleEndian.Uint16(b)
	port := int(binary.BigEndian.Uint16(sa[2:]))
	var ip netip.Addr
	switch family {
	case unix.AF_UNSPEC, unix.AF_UNIX, unix.AF_NETLINK:
		return countersign.Net{}, false
	case unix.AF_INET:
		ip = netip.AddrFrom4([4]byte(sa[4:8]))
	case unix.AF_INET6:
		ip = netip.AddrFrom16([16]byte(sa[8:24])).Unmap()
	default:
		return countersign.Net{Proto: fmt.Sprintf("family %d", family), Host: "?"}, true
	}
	if ip.IsLoopback() || ip.IsUnspecified() {
		return countersign.Net{}, false
	}
	return countersign.Net{Host: ip.String(), Port: port}, true
}

// socketType asks for the kind of a socket of another process without opening
// it: /proc/net names are not needed, the inode is in the link.
func socketType(tid, fd int) (int, bool) {
	pidfd, err := unix.PidfdOpen(tid, 0)
	if err != nil {
		return 0, false
	}
	defer unix.Close(pidfd)
	own, err := unix.PidfdGetfd(pidfd, fd, 0)
	if err != nil {
		return 0, false
	}
	defer unix.Close(own)
	typ, err := unix.GetsockoptInt(own, unix.SOL_SOCKET, unix.SO_TYPE)
	return typ, err == nil
}
