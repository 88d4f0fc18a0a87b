package layer

import (
	"crypto/sha256"
	"hash"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

var bufs = sync.Pool{New: func() any { b := make([]byte, 1<<18); return &b }}

// Copied is what CopyFile took over.
type Copied struct {
	Real, Snap Stamp
	Mode       uint32
	Sum        [32]byte // if asked for
}

// CopyFile copies a regular file's bytes, permission and modification time from
// one tree to a name that is free in another. The stamp of the source is the one
// before its first byte was read: a write during the copy is found later.
func CopyFile(from *Root, rel string, to *Root, dst string, sum bool) (c Copied, err error) {
	in, st, err := from.OpenRegular(rel)
	if err != nil {
		return c, err
	}
	defer in.Close()
	out, err := to.Open(dst, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return c, err
	}
	defer func() {
		out.Close()
		if err != nil {
			to.Unlink(dst)
		}
	}()
	var h hash.Hash
	if sum {
		h = sha256.New()
	}
	if err = copyBytes(out, in, st.Size, h); err != nil {
		return c, err
	}
	c.Real, c.Mode = StampOf(&st), st.Mode
	if sum {
		h.Sum(c.Sum[:0])
	}
	fd := int(out.Fd())
	if err = unix.Fchmod(fd, st.Mode&0o777); err != nil {
		return c, err
	}
	if err = unix.UtimesNanoAt(unix.AT_FDCWD, procFD(fd), []unix.Timespec{st.Mtim, st.Mtim}, 0); err != nil {
		return c, err
	}
	var got unix.Stat_t
	err = unix.Fstat(fd, &got)
	c.Snap = StampOf(&got)
	return c, err
}

// small files are read, hashed and written in one pass; large ones are cloned
// where the file system can (ioctl_ficlone(2)), else copied without their holes.
const small = 1 << 20

func copyBytes(out, in *os.File, size int64, h hash.Hash) error {
	if size > small && unix.IoctlFileClone(int(out.Fd()), int(in.Fd())) == nil {
		if h == nil {
			return nil
		}
		_, err := hashFrom(h, in)
		return err
	}
	p := bufs.Get().(*[]byte)
	defer bufs.Put(p)
	var at int64
	for {
		n, err := in.Read(*p)
		b := (*p)[:n]
		if h != nil {
			h.Write(b)
		}
		if n > 0 && !(size > small && zero(b)) {
			if _, werr := out.WriteAt(b, at); werr != nil {
				return werr
			}
		}
		at += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if size > small {
		return out.Truncate(at) // a hole at the end
	}
	return nil
}

func hashFrom(h hash.Hash, r io.Reader) (int64, error) {
	p := bufs.Get().(*[]byte)
	defer bufs.Put(p)
	return io.CopyBuffer(h, struct{ io.Reader }{r}, *p)
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// Sum hashes what stands at rel: a file's bytes or a link's target.
func (r *Root) Sum(rel string, mode uint32) (sum [32]byte, err error) {
	if mode&unix.S_IFMT == unix.S_IFLNK {
		to, err := r.Readlink(rel)
		return sha256.Sum256([]byte(to)), err
	}
	f, _, err := r.OpenRegular(rel)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = hashFrom(h, f)
	h.Sum(sum[:0])
	return sum, err
}

// Content opens a file, or a link's target as text.
func (r *Root) Content(rel string, mode uint32) (io.ReadCloser, error) {
	if mode&unix.S_IFMT == unix.S_IFLNK {
		to, err := r.Readlink(rel)
		return io.NopCloser(strings.NewReader(to)), err
	}
	f, _, err := r.OpenRegular(rel)
	if err != nil {
		return nil, err
	}
	return f, nil
}
