package tree

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// ErrKind says that a path is there but is neither a regular file nor a symlink.
var ErrKind = errors.New("not a regular file or symlink")

// ErrRefused says that a path would leave the root or pass through a symlink.
var ErrRefused = errors.New("the path leads through a symlink or out of the tree")

// Git file modes.
const (
	ModeFile    = 0o100644
	ModeExec    = 0o100755
	ModeSymlink = 0o120000
	modeType    = 0o170000
)

// IsSymlink reports whether a git file mode is that of a symlink.
func IsSymlink(mode uint32) bool { return mode&modeType == ModeSymlink }

// Info is what the file system says of one path, itself and not what it points
// to.
type Info struct {
	Mode     fs.FileMode
	Size     int64
	Dev, Ino uint64 // 0 where the system has none
	Nlink    uint64
	UID, GID int // -1 where the system has none
}

// GitMode is the mode git would store: the owner's x bit alone decides. A set-id
// or sticky bit is kept in place, so that whoever looks can refuse it.
func (i Info) GitMode() uint32 {
	if i.Mode&fs.ModeSymlink != 0 {
		return ModeSymlink
	}
	m := uint32(ModeFile)
	if i.Mode&0o100 != 0 {
		m = ModeExec
	}
	for _, b := range []struct {
		from fs.FileMode
		to   uint32
	}{{fs.ModeSetuid, 0o4000}, {fs.ModeSetgid, 0o2000}, {fs.ModeSticky, 0o1000}} {
		if i.Mode&b.from != 0 {
			m |= b.to
		}
	}
	return m
}

// Check refuses a path that is not plain: absolute, empty, or with an empty,
// "." or ".." element. Any other byte but NUL may stand in it.
func Check(p string) error {
	if p == "" || p[0] == '/' || strings.IndexByte(p, 0) >= 0 {
		return &fs.PathError{Op: "check", Path: p, Err: fs.ErrInvalid}
	}
	for e := range strings.SplitSeq(p, "/") {
		if e == "" || e == "." || e == ".." {
			return &fs.PathError{Op: "check", Path: p, Err: fs.ErrInvalid}
		}
	}
	return nil
}

// Path returns the directory the root was opened at.
func (r *Root) Path() string { return r.path }

// State reads a path's mode, size and content hash. A path that is not there is
// fs.ErrNotExist; a directory, socket or device is ErrKind.
func (r *Root) State(p string) (*State, error) {
	info, err := r.Lstat(p)
	if err != nil {
		return nil, err
	}
	if info.Mode&fs.ModeSymlink != 0 {
		t, err := r.Readlink(p)
		if err != nil {
			return nil, err
		}
		return FromBytes([]byte(t), ModeSymlink), nil
	}
	f, err := r.Open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return nil, err
	}
	return &State{Mode: info.GitMode(), Size: n, SHA256: hex.EncodeToString(h.Sum(nil)), Open: func() (io.ReadCloser, error) { return r.Open(p) }}, nil
}

// FromBytes is the state of a version held in memory.
func FromBytes(b []byte, mode uint32) *State {
	d := sha256.Sum256(b)
	return &State{Mode: mode, Size: int64(len(b)), SHA256: hex.EncodeToString(d[:]), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b)), nil
	}}
}

// Open opens a regular file for reading. It never blocks on a fifo.
func (r *Root) Open(p string) (*os.File, error) {
	f, err := r.openFile(p, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		f.Close()
		if err == nil {
			err = ErrKind
		}
		return nil, &fs.PathError{Op: "open", Path: p, Err: err}
	}
	return f, nil
}

// ReadFile reads a whole regular file.
func (r *Root) ReadFile(p string) ([]byte, error) {
	f, err := r.Open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// Create makes a new file; it is an error if anything is there already. The
// umask applies to perm.
func (r *Root) Create(p string, perm fs.FileMode) (*os.File, error) {
	return r.openFile(p, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
}

// TempName returns a name beside p that nobody can foresee.
func TempName(p string) string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails, as its documentation says
	return path.Join(path.Dir(p), TempPrefix+hex.EncodeToString(b[:]))
}

// TempPrefix begins the name of every file that is on its way.
const TempPrefix = ".countersign-"

// WriteAtomic replaces or creates a file: a temporary file in the same
// directory, flushed, renamed over p, the directory flushed. On an error nothing
// of it is left. A file that was there keeps its permission bits; a new one has
// perm under the umask.
func (r *Root) WriteAtomic(p string, content io.Reader, perm fs.FileMode) (err error) {
	tmp := TempName(p)
	if err := r.writeNew(tmp, content, perm); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = r.Remove(tmp)
		}
	}()
	if info, serr := r.Lstat(p); serr == nil && info.Mode.IsRegular() {
		if err := r.Chmod(tmp, info.Mode.Perm()); err != nil {
			return err
		}
	}
	if err := r.Rename(tmp, p); err != nil {
		return err
	}
	return r.SyncDir(path.Dir(p))
}

// writeNew creates p with the content and flushes it, or leaves nothing.
func (r *Root) writeNew(p string, content io.Reader, perm fs.FileMode) error {
	f, err := r.Create(p, perm)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = r.Remove(p)
		return fmt.Errorf("write %s: %w", p, err)
	}
	return nil
}

// MkdirAll makes p and its missing parents, and returns those it made, outermost
// first, on an error too.
func (r *Root) MkdirAll(p string) (made []string, err error) {
	if p == "." {
		return nil, nil
	}
	if err := Check(p); err != nil {
		return nil, err
	}
	parts := strings.Split(p, "/")
	for i := range parts {
		d := strings.Join(parts[:i+1], "/")
		switch err := r.Mkdir(d, 0o777); {
		case err == nil:
			made = append(made, d)
		case errors.Is(err, fs.ErrExist):
			if info, err := r.Lstat(d); err != nil {
				return made, err
			} else if info.Mode&fs.ModeSymlink != 0 {
				return made, &fs.PathError{Op: "mkdir", Path: d, Err: ErrRefused}
			} else if !info.Mode.IsDir() {
				return made, &fs.PathError{Op: "mkdir", Path: d, Err: fs.ErrExist}
			}
		default:
			return made, err
		}
	}
	return made, nil
}

// Leaves reports whether a symlink at p with this target points out of the root:
// an absolute target, or one that climbs above it.
func Leaves(p, target string) bool {
	if path.IsAbs(target) {
		return true
	}
	depth := strings.Count(p, "/")
	for e := range strings.SplitSeq(target, "/") {
		switch e {
		case "..":
			if depth--; depth < 0 {
				return true
			}
		case "", ".":
		default:
			depth++
		}
	}
	return false
}

// GitName reports whether a file system may take a name for ".git": case,
// trailing dots and spaces, the short name of Windows, an NTFS stream, and the
// code points that HFS+ ignores (git's path.c and utf8.c check the same).
func GitName(e string) bool {
	s := strings.Map(func(r rune) rune {
		switch {
		case r >= 0x200c && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x206a && r <= 0x206f, r == 0xfeff:
			return -1
		}
		return r
	}, e)
	s, _, _ = strings.Cut(s, ":")
	s = strings.TrimRight(s, ". ")
	return strings.EqualFold(s, ".git") || strings.EqualFold(s, "git~1")
}
