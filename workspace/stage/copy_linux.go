package stage

import (
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

var bufs = sync.Pool{New: func() any { b := make([]byte, 1<<18); return &b }}

// copied is what copyFile took over.
type copied struct {
	real, snap stamp
	mode       uint32
	sum        [32]byte
}

// copyFile copies a regular file's bytes, permission and modification time from
// one tree to a name that is free in another. The stamp of the source is the one
// before its first byte was read: a write during the copy is found later.
func copyFile(from *root, rel string, to *root, dst string, sum bool) (c copied, err error) {
	in, st, err := from.openRegular(rel)
	if err != nil {
		return c, err
	}
	defer in.Close()
	out, err := to.open(dst, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return c, err
	}
	defer func() {
		out.Close()
		if err != nil {
			to.unlink(dst)
		}
	}()
	var h hash.Hash
	if sum {
		h = sha256.New()
	}
	if err = copyBytes(out, in, st.Size, h); err != nil {
		return c, err
	}
	c.real, c.mode = stampOf(&st), st.Mode
	if sum {
		h.Sum(c.sum[:0])
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
	c.snap = stampOf(&got)
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

// sumOf hashes what stands at rel: a file's bytes or a link's target.
func (r *root) sumOf(rel string, mode uint32) (sum [32]byte, err error) {
	if mode&unix.S_IFMT == unix.S_IFLNK {
		to, err := r.readlink(rel)
		return sha256.Sum256([]byte(to)), err
	}
	f, _, err := r.openRegular(rel)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = hashFrom(h, f)
	h.Sum(sum[:0])
	return sum, err
}

// full tells whether an error means that there is no room.
func full(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
