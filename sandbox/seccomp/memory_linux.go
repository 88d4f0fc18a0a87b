//go:build amd64 || arm64

package seccomp

import (
	"bytes"
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel's own limits (execve(2)): one string, and all of them together.
const (
	maxString  = 32 * 4096
	maxStrings = 6 << 20
	pageSize   = 4096
	maxIovecs  = 512
	firstBite  = 192    // bytes read of a string before its length is known
	firstPtrs  = 64 * 8 // bytes read of a vector before its length is known
)

// Memory reads a caller's process's memory. It never reads past a page that it
// was not pointed to, so that the end of a mapping is no error.
type Memory struct {
	TID    int // whose
	buf    []byte
	remote []unix.RemoteIovec
	ptrs   []uint64
	spans  []span
	head   [firstBite + 2*firstPtrs]byte
}

// span is a run of strings that lie close together.
type span struct {
	first, n int // of ptrs
	addr     uint64
	size     int
	off      int // in buf
}

// readv reads the remote pieces one after the other into dst. Anything short is
// an error.
func (m *Memory) readv(dst []byte, remote []unix.RemoteIovec) unix.Errno {
	local := unix.Iovec{Base: &dst[0]}
	local.SetLen(len(dst))
	n, _, errno := unix.Syscall6(unix.SYS_PROCESS_VM_READV, uintptr(m.TID), uintptr(unsafe.Pointer(&local)), 1,
		uintptr(unsafe.Pointer(&remote[0])), uintptr(len(remote)), 0)
	if errno != 0 {
		return errno
	}
	if int(n) != len(dst) {
		return unix.EFAULT
	}
	return 0
}

// Read fills dst from addr; anything less is EFAULT.
func (m *Memory) Read(dst []byte, addr uint64) unix.Errno {
	m.remote = append(m.remote[:0], unix.RemoteIovec{Base: uintptr(addr), Len: len(dst)})
	return m.readv(dst, m.remote)
}

func toPageEnd(addr uint64) int { return int(pageSize - addr%pageSize) }

func (m *Memory) room(n int) []byte {
	if cap(m.buf) < n {
		m.buf = make([]byte, n+n/2)
	}
	return m.buf[:n]
}

// String appends the string at addr, without its NUL, to dst.
func (m *Memory) String(dst []byte, addr uint64, limit int) ([]byte, unix.Errno) {
	var chunk [pageSize]byte
	for size := firstBite; ; size = pageSize {
		b := chunk[:min(size, toPageEnd(addr))]
		if errno := m.Read(b, addr); errno != 0 {
			return dst, errno
		}
		if i := bytes.IndexByte(b, 0); i >= 0 {
			return append(dst, b[:i]...), 0
		}
		dst = append(dst, b...)
		addr += uint64(len(b))
		if limit -= len(b); limit <= 0 {
			return dst, unix.E2BIG
		}
	}
}

// Path reads the path at addr, without its NUL, into buf, which bounds it.
func (m *Memory) Path(buf []byte, addr uint64) ([]byte, unix.Errno) {
	for n, size := 0, firstBite; n < len(buf); size = pageSize {
		b := buf[n:min(n+min(size, toPageEnd(addr)), len(buf))]
		if errno := m.Read(b, addr); errno != 0 {
			return nil, errno
		}
		if i := bytes.IndexByte(b, 0); i >= 0 {
			return buf[:n+i], 0
		}
		n += len(b)
		addr += uint64(len(b))
	}
	return nil, unix.ENAMETOOLONG
}

// Given is what an exec was given. All of it is good until the next call.
type Given struct {
	Name      []byte // without its NUL
	NameErrno unix.Errno
	Args, Env []byte // every string with its NUL: what /proc/PID/cmdline and environ must show after the exec
	Argc      int
}

// Given reads the arguments of an exec by their addresses, into dst. Most execs
// need two calls for all of it.
func (m *Memory) Given(dst []byte, name, argv, envp uint64) (g Given, all []byte, errno unix.Errno) {
	first, args, env := m.heads(name, argv, envp)
	if i := bytes.IndexByte(first, 0); i >= 0 {
		g.Name = first[:i]
	} else {
		g.Name, g.NameErrno = m.String(nil, name, unix.PathMax)
	}
	m.ptrs = m.ptrs[:0]
	if errno = m.pointers(argv, args); errno != 0 {
		return g, dst, errno
	}
	g.Argc = len(m.ptrs)
	if errno = m.pointers(envp, env); errno != 0 {
		return g, dst, errno
	}
	if dst, errno = m.strings(dst[:0]); errno != 0 {
		return g, dst, errno
	}
	cut := 0
	for range g.Argc {
		cut += bytes.IndexByte(dst[cut:], 0) + 1
	}
	g.Args, g.Env = dst[:cut:cut], dst[cut:]
	return g, dst, 0
}

// heads reads where the path and both vectors begin, in one call. What it could
// not read so is left to those who read on.
func (m *Memory) heads(name, argv, envp uint64) (n, a, e []byte) {
	size := [3]int{min(firstBite, toPageEnd(name)), min(firstPtrs, toPageEnd(argv)) &^ 7, min(firstPtrs, toPageEnd(envp)) &^ 7}
	m.remote = m.remote[:0]
	total := 0
	for i, addr := range [3]uint64{name, argv, envp} {
		if addr == 0 {
			size[i] = 0
		}
		if size[i] > 0 {
			m.remote = append(m.remote, unix.RemoteIovec{Base: uintptr(addr), Len: size[i]})
			total += size[i]
		}
	}
	b := m.head[:total]
	if total == 0 || m.readv(b, m.remote) != 0 {
		return nil, nil, nil
	}
	return b[:size[0]], b[size[0] : size[0]+size[1]], b[size[0]+size[1]:]
}

// pointers adds those of a vector that ends with NULL, of which first is known.
func (m *Memory) pointers(addr uint64, first []byte) unix.Errno {
	if addr == 0 {
		return 0
	}
	var chunk [pageSize]byte
	before := len(m.ptrs)
	for b, size := first, firstPtrs; ; b, size = nil, pageSize {
		if len(b) == 0 {
			n := min(size, toPageEnd(addr)) &^ 7
			if n == 0 {
				n = 8 // a pointer that lies across two pages
			}
			b = chunk[:n]
			if errno := m.Read(b, addr); errno != 0 {
				return errno
			}
		}
		for i := 0; i < len(b); i += 8 {
			p := binary.LittleEndian.Uint64(b[i:])
			if p == 0 {
				return 0
			}
			m.ptrs = append(m.ptrs, p)
		}
		addr += uint64(len(b))
		if len(m.ptrs)-before > maxStrings/8 {
			return unix.E2BIG
		}
	}
}

// strings appends what the pointers point to, each string with its NUL, to dst.
func (m *Memory) strings(dst []byte) ([]byte, unix.Errno) {
	for at := 0; at < len(m.ptrs); {
		at = m.plan(at)
		if errno := m.fetch(); errno != 0 {
			return dst, errno
		}
		for _, sp := range m.spans {
			var errno unix.Errno
			if dst, errno = m.take(dst, sp); errno != 0 {
				return dst, errno
			}
			if len(dst) > maxStrings {
				return dst, unix.E2BIG
			}
		}
	}
	return dst, 0
}

// plan gathers spans from pointer at on, as many as one call can read.
func (m *Memory) plan(at int) int {
	m.spans = m.spans[:0]
	off := 0
	for at < len(m.ptrs) && len(m.spans) < maxIovecs && off < 1<<20 {
		sp := span{first: at, n: 1, addr: m.ptrs[at], off: off}
		last := m.ptrs[at]
		for at++; at < len(m.ptrs) && m.ptrs[at] > last && m.ptrs[at]-last < 1024 && m.ptrs[at]-sp.addr < 1<<16; at++ {
			last = m.ptrs[at]
			sp.n++
		}
		sp.size = int(last-sp.addr) + min(firstBite, toPageEnd(last))
		off += sp.size
		m.spans = append(m.spans, sp)
	}
	return at
}

func (m *Memory) fetch() unix.Errno {
	m.remote = m.remote[:0]
	total := 0
	for _, sp := range m.spans {
		m.remote = append(m.remote, unix.RemoteIovec{Base: uintptr(sp.addr), Len: sp.size})
		total += sp.size
	}
	return m.readv(m.room(total), m.remote)
}

// take cuts the strings of a span out of the buffer; what goes on behind it is
// read by itself.
func (m *Memory) take(dst []byte, sp span) ([]byte, unix.Errno) {
	have := m.buf[sp.off : sp.off+sp.size]
	for _, p := range m.ptrs[sp.first : sp.first+sp.n] {
		b := have[p-sp.addr:]
		if i := bytes.IndexByte(b, 0); i >= 0 {
			if i >= maxString {
				return dst, unix.E2BIG
			}
			dst = append(dst, b[:i+1]...)
			continue
		}
		var errno unix.Errno
		dst = append(dst, b...)
		if dst, errno = m.String(dst, p+uint64(len(b)), maxString-len(b)); errno != 0 {
			return dst, errno
		}
		dst = append(dst, 0)
	}
	return dst, 0
}

// Split cuts NUL-terminated strings; all share one allocation.
func Split(b []byte) []string {
	s := string(b)
	out := make([]string, 0, bytes.Count(b, []byte{0}))
	for len(s) > 0 {
		i := 0
		for s[i] != 0 {
			i++
		}
		out = append(out, s[:i])
		s = s[i+1:]
	}
	return out
}
