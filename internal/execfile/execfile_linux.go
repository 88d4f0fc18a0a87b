// Package execfile knows what the kernel would make of a file that is run, and
// remembers the hash of its content for as long as that is safe.
//
// It promises: a hash is of exactly the version that the stamp names; a version
// that could still change under the same stamp is never remembered. It opens the
// files that it is given and nothing else.
package execfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/internal/asseen"
)

const (
	// A change within one tick of the file system's clock leaves the time of
	// change as it was: a hash made sooner than this after it proves nothing later.
	settled       = 20 * time.Millisecond
	settledCoarse = 2 * time.Second // where times have whole seconds
	keepTotal     = 32 << 20
	maxScript     = 64 << 20
	maxImage      = 2 << 30 // a file without end would keep the session busy without end
	headSize      = 256     // BINPRM_BUF_SIZE of include/uapi/linux/binfmts.h
)

// KeepText is how much text of one file a Cache remembers, in bytes.
const KeepText = 1 << 20

// Stamp is a file's identity and version.
type Stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
}

// StampOf is the stamp in a stat.
func StampOf(st *unix.Stat_t) Stamp {
	return Stamp{uint64(st.Dev), st.Ino, st.Size, st.Mtim, st.Ctim}
}

// Form is what the kernel would make of a file.
type Form uint8

// The forms.
const (
	Other  Form = iota // it does not run: ENOEXEC
	ELF                // it loads it
	Script             // it runs its interpreter
)

// Content is what is known of one version of a file.
type Content struct {
	Stamp   Stamp
	Hash    string // SHA-256, hexadecimal
	Form    Form
	Interp  string // of a script
	Arg     string
	HasArg  bool
	Text    []byte // only if asked for
	Trusted bool   // an equal stamp later means equal content
}

// Cache remembers hashes. It may be used by many goroutines at once.
type Cache struct {
	now   func() time.Time
	mu    sync.Mutex
	known map[Stamp]*Content
	kept  int
}

// NewCache returns an empty one. now is the wall clock.
func NewCache(now func() time.Time) *Cache {
	return &Cache{now: now, known: map[Stamp]*Content{}}
}

// Of returns what is known of the file behind an O_PATH descriptor, reading it
// if nothing is. With text its bytes are there too.
func (f *Cache) Of(fd int, st *unix.Stat_t, text bool) (*Content, unix.Errno) {
	key := StampOf(st)
	f.mu.Lock()
	c := f.known[key]
	f.mu.Unlock()
	if c != nil && (!text || c.Text != nil) {
		return c, 0
	}
	c, errno := f.load(fd, st, text)
	if errno != 0 {
		return nil, errno
	}
	if c.Trusted {
		f.keep(c)
	}
	return c, 0
}

func (f *Cache) keep(c *Content) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := *c
	if len(c.Text) > KeepText {
		k.Text = nil
	}
	if f.kept += len(k.Text); f.kept > keepTotal || len(f.known) > 1<<16 {
		f.known, f.kept = map[Stamp]*Content{}, len(k.Text)
	}
	f.known[k.Stamp] = &k
}

// load reads a file once, and again if it changed under the reading.
func (f *Cache) load(path int, st *unix.Stat_t, text bool) (*Content, unix.Errno) {
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(path), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, asseen.ErrnoOf(err)
	}
	file := os.NewFile(uintptr(fd), "")
	defer file.Close()
	if st.Size > maxImage || text && st.Size > maxScript {
		return nil, unix.EFBIG
	}
	began := f.now()
	c := &Content{Stamp: StampOf(st)}
	h := sha256.New()
	var head bytes.Buffer
	var all bytes.Buffer
	out := io.MultiWriter(h, &limited{&head, headSize})
	if text {
		out = io.MultiWriter(h, &limited{&head, headSize}, &all)
	}
	if _, err := io.Copy(out, io.LimitReader(file, st.Size+1)); err != nil {
		return nil, unix.EIO
	}
	var after unix.Stat_t
	if unix.Fstat(fd, &after) != nil || StampOf(&after) != c.Stamp {
		return nil, unix.ETXTBSY // it changes while it is read: nothing to decide on
	}
	c.Hash = hex.EncodeToString(h.Sum(nil))
	c.Form, c.Interp, c.Arg, c.HasArg = parseHead(head.Bytes())
	if text {
		c.Text = append([]byte{}, all.Bytes()...)
	}
	c.Trusted = old(st.Ctim, began) || readOnly(fd)
	return c, 0
}

func old(ctime unix.Timespec, at time.Time) bool {
	age := at.Sub(time.Unix(ctime.Sec, ctime.Nsec))
	if ctime.Nsec == 0 {
		return age > settledCoarse
	}
	return age > settled
}

// readOnly reports whether the file lies on a mount that nobody inside can write.
func readOnly(fd int) bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(fd, &fs) == nil && fs.Flags&unix.ST_RDONLY != 0
}

type limited struct {
	w    *bytes.Buffer
	left int
}

func (l *limited) Write(b []byte) (int, error) {
	n := min(l.left, len(b))
	l.w.Write(b[:n])
	l.left -= n
	return len(b), nil
}

// parseHead reads a file's first bytes as fs/binfmt_script.c does.
func parseHead(head []byte) (f Form, interp, arg string, hasArg bool) {
	if bytes.HasPrefix(head, []byte("\x7fELF")) {
		return ELF, "", "", false
	}
	line, ok := bytes.CutPrefix(head, []byte("#!"))
	if !ok {
		return Other, "", "", false
	}
	whole := len(head) < headSize
	if i := bytes.IndexAny(line, "\n\x00"); i >= 0 {
		line, whole = line[:i], true
	}
	line = bytes.TrimLeft(line, " \t")
	i := bytes.IndexAny(line, " \t")
	if i < 0 && !whole || len(bytes.Trim(line, " \t")) == 0 {
		return Other, "", "", false // the interpreter's name is cut off, or none
	}
	if i < 0 {
		return Script, string(line), "", false
	}
	rest := bytes.Trim(line[i:], " \t")
	return Script, string(line[:i]), string(rest), len(rest) > 0
}
