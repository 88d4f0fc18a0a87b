package tripwire

import (
	"bytes"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign"
)

// maxArgv bounds what is kept of a caller's command line, in bytes.
const maxArgv = 32 << 10

// resolve names the caller while it waits in the kernel for our answer. What
// cannot be read (the caller was killed meanwhile, or lives in a foreign pid
// namespace and has the id 0) stays empty: the event counts all the same.
func resolve(tid int, fsuid uint32) countersign.Peer {
	p := countersign.Peer{PID: tid, UID: int(fsuid)}
	if tid == 0 {
		return p
	}
	buf := make([]byte, 4096)
	dir := "/proc/" + strconv.Itoa(tid)
	status := readProc(dir+"/status", buf)
	if v := field(status, "Tgid:"); v > 0 {
		p.PID = v
		dir = "/proc/" + strconv.Itoa(v)
	}
	if v := field(status, "Uid:"); v >= 0 {
		p.UID = v
	}
	p.Start = startTime(readProc(dir+"/stat", buf))
	if n, err := unix.Readlink(dir+"/exe", buf); err == nil {
		p.Exe = string(buf[:n])
	}
	p.Argv = splitArgv(readProc(dir+"/cmdline", make([]byte, maxArgv+1)))
	return p
}

// readProc reads into buf what fits.
func readProc(path string, buf []byte) []byte {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	n := 0
	for n < len(buf) {
		m, err := unix.Read(fd, buf[n:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || m <= 0 {
			break
		}
		n += m
	}
	return buf[:n]
}

// field returns the first number after name at the start of a line of
// /proc/PID/status, or -1. The name of a process, which it may choose, is in a
// line of its own with newlines escaped (proc_pid_status(5)).
func field(status []byte, name string) int {
	for line := range bytes.SplitSeq(status, []byte{'\n'}) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			f := bytes.Fields(rest)
			if len(f) == 0 {
				return -1
			}
			v, err := strconv.Atoi(string(f[0]))
			if err != nil {
				return -1
			}
			return v
		}
	}
	return -1
}

// startTime returns field 22 of /proc/PID/stat. The fields are counted from the
// last parenthesis, for a process may put some into its name.
func startTime(stat []byte) uint64 {
	i := bytes.LastIndexByte(stat, ')')
	if i < 0 {
		return 0
	}
	f := bytes.Fields(stat[i+1:])
	if len(f) < 20 {
		return 0
	}
	v, _ := strconv.ParseUint(string(f[19]), 10, 64)
	return v
}

// splitArgv splits a command line as /proc/PID/cmdline shows it. What is longer
// than maxArgv is cut, and the cut is said in a last element.
func splitArgv(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	cut := len(b) > maxArgv
	if cut {
		b = b[:maxArgv]
	}
	b = bytes.TrimSuffix(b, []byte{0})
	var out []string
	for a := range bytes.SplitSeq(b, []byte{0}) {
		out = append(out, string(a))
	}
	if cut {
		out = append(out, "…")
	}
	return out
}

// Attrs returns what stat(2) says of a host file, without following it. It
// reads no content. The ids are the host's; where the session's user namespace
// maps its owner to another number, the caller changes them.
func Attrs(path string) (Attr, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return Attr{}, &countersign.Error{Code: countersign.ENotFound, Op: "stat", Thing: path, Err: err}
	}
	return Attr{
		Mode: st.Mode, Size: st.Size, Ino: st.Ino, UID: st.Uid, GID: st.Gid, Nlink: uint32(st.Nlink),
		Mtime: time.Unix(st.Mtim.Unix()), Ctime: time.Unix(st.Ctim.Unix()), Atime: time.Unix(st.Atim.Unix()),
		Dir: st.Mode&unix.S_IFMT == unix.S_IFDIR,
	}, nil
}
