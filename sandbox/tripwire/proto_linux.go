package tripwire

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// The part of linux/fuse.h that a refusing server needs. All numbers are in the
// machine's own byte order.
const (
	opLookup      = 1
	opForget      = 2
	opGetattr     = 3
	opSetattr     = 4
	opReadlink    = 5
	opSymlink     = 6
	opMknod       = 8
	opMkdir       = 9
	opUnlink      = 10
	opRmdir       = 11
	opRename      = 12
	opLink        = 13
	opOpen        = 14
	opRead        = 15
	opStatfs      = 17
	opRelease     = 18
	opSetxattr    = 21
	opGetxattr    = 22
	opListxattr   = 23
	opRemovexattr = 24
	opFlush       = 25
	opInit        = 26
	opOpendir     = 27
	opReaddir     = 28
	opReleasedir  = 29
	opAccess      = 34
	opCreate      = 35
	opInterrupt   = 36
	opBmap        = 37
	opDestroy     = 38
	opIoctl       = 39
	opPoll        = 40
	opBatchForget = 42
	opRename2     = 45
	opLseek       = 46
	opSyncfs      = 50
	opTmpfile     = 51
	opStatx       = 52

	protoMajor = 7
	protoMinor = 31

	inHeaderLen  = 40
	outHeaderLen = 16
	rootID       = 1

	initAtomicTrunc   = 1 << 3
	initParallelDirop = 1 << 18

	openKeepCache = 1 << 1 // what was read once is still right

	setMode  = 1 << 0
	setUID   = 1 << 1
	setGID   = 1 << 2
	setSize  = 1 << 3
	fmodeRun = 0x20 // __FMODE_EXEC: the open is part of an execve

	notifyInvalInode = 2

	// The kernel keeps what it was told of a node for this long, in seconds; a
	// renewal tells it sooner.
	validFor = 24 * 3600

	// A request must fit, or the kernel refuses it without us: an extended
	// attribute of 64 KiB is the longest.
	requestSize = 64<<10 + 16<<10
	maxWrite    = 4096
)

var order = binary.NativeEndian

// request is one call from the kernel.
type request struct {
	op     uint32
	unique uint64
	node   uint64
	uid    uint32
	pid    uint32
	body   []byte
}

func parseRequest(b []byte) (request, bool) {
	if len(b) < inHeaderLen || int(order.Uint32(b)) != len(b) {
		return request{}, false
	}
	return request{
		op: order.Uint32(b[4:]), unique: order.Uint64(b[8:]), node: order.Uint64(b[16:]),
		uid: order.Uint32(b[24:]), pid: order.Uint32(b[32:]), body: b[inHeaderLen:],
	}, true
}

// u32 and u64 read a field of the body, 0 where there is none.
func (r request) u32(off int) uint32 {
	if len(r.body) < off+4 {
		return 0
	}
	return order.Uint32(r.body[off:])
}

func (r request) u64(off int) uint64 {
	if len(r.body) < off+8 {
		return 0
	}
	return order.Uint64(r.body[off:])
}

// name returns the body as a NUL-terminated name.
func (r request) name() string {
	for i, c := range r.body {
		if c == 0 {
			return string(r.body[:i])
		}
	}
	return string(r.body)
}

func reply(unique uint64, errno unix.Errno, body []byte) []byte {
	b := make([]byte, outHeaderLen, outHeaderLen+len(body))
	order.PutUint32(b, uint32(outHeaderLen+len(body)))
	order.PutUint32(b[4:], uint32(-int32(errno)))
	order.PutUint64(b[8:], unique)
	return append(b, body...)
}

// initReply negotiates. O_TRUNC comes with the open, so that it is one call and
// not two. Not asked for: answers to open without us (FUSE_NO_OPEN_SUPPORT),
// readdirplus, caches of any kind.
func initReply(r request) (body []byte, ok bool) {
	major, minor := r.u32(0), r.u32(4)
	b := make([]byte, 64)
	order.PutUint32(b, protoMajor)
	order.PutUint32(b[4:], protoMinor)
	if major > protoMajor {
		return b, true // the kernel asks again in our version
	}
	if major < protoMajor || minor < protoMinor {
		return nil, false // before Linux 5.4
	}
	order.PutUint32(b[12:], r.u32(12)&(initAtomicTrunc|initParallelDirop))
	order.PutUint16(b[16:], 64)
	order.PutUint16(b[18:], 48)
	order.PutUint32(b[20:], maxWrite)
	order.PutUint32(b[24:], 1) // times are exact to the nanosecond
	return b, true
}

// attrBytes is struct fuse_attr.
func attrBytes(a Attr) []byte {
	b := make([]byte, 88)
	order.PutUint64(b[0:], a.Ino)
	order.PutUint64(b[8:], uint64(a.Size))
	order.PutUint64(b[16:], uint64(a.Size+511)/512)
	order.PutUint64(b[24:], uint64(a.Atime.Unix()))
	order.PutUint64(b[32:], uint64(a.Mtime.Unix()))
	order.PutUint64(b[40:], uint64(a.Ctime.Unix()))
	order.PutUint32(b[48:], uint32(a.Atime.Nanosecond()))
	order.PutUint32(b[52:], uint32(a.Mtime.Nanosecond()))
	order.PutUint32(b[56:], uint32(a.Ctime.Nanosecond()))
	order.PutUint32(b[60:], a.Mode)
	order.PutUint32(b[64:], a.Nlink)
	order.PutUint32(b[68:], a.UID)
	order.PutUint32(b[72:], a.GID)
	order.PutUint32(b[80:], 4096)
	return b
}

func attrReply(a Attr) []byte {
	b := make([]byte, 16, 104)
	order.PutUint64(b, validFor)
	return append(b, attrBytes(a)...)
}

// entryReply answers a lookup in the root. The name is valid for no time: only
// the namespace's builder looks, and a removed node has none.
func entryReply(nodeid uint64, a Attr) []byte {
	b := make([]byte, 40, 128)
	order.PutUint64(b[0:], nodeid)
	order.PutUint64(b[24:], validFor)
	return append(b, attrBytes(a)...)
}

// invalReply tells the kernel to forget the attributes of a node, not pages.
func invalReply(nodeid uint64) []byte {
	b := make([]byte, outHeaderLen+24)
	order.PutUint32(b, uint32(len(b)))
	order.PutUint32(b[4:], notifyInvalInode)
	order.PutUint64(b[16:], nodeid)
	order.PutUint64(b[24:], ^uint64(0)) // offset -1: attributes only
	return b
}
