//go:build amd64 || arm64

package execgate

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
	keepContent   = 1 << 20         // of one script, in the cache
	keepTotal     = 32 << 20
	maxScript     = 64 << 20
	maxImage      = 2 << 30 // a file without end would keep the session busy without end
	headSize      = 256     // BINPRM_BUF_SIZE of include/uapi/linux/binfmts.h
)

// stamp is a file's identity and version.
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
}

func stampOf(st *unix.Stat_t) stamp {
	return stamp{uint64(st.Dev), st.Ino, st.Size, st.Mtim, st.Ctim}
}

// form is what the kernel would make of a file.
type form uint8

const (
	formOther form = iota // ENOEXEC
	formELF
	formScript
)

// content is what is known of one version of a file.
type content struct {
	stamp   stamp
	hash    string
	form    form
	interp  string // of a script
	arg     string
	hasArg  bool
	bytes   []byte // only if asked for
	trusted bool   // an equal stamp later means equal content
}

// files is the cache of hashes.
type files struct {
	now   func() time.Time
	mu    sync.Mutex
	known map[stamp]*content
	kept  int
}

func newFiles(now func() time.Time) *files {
	return &files{now: now, known: map[stamp]*content{}}
}

// of returns what is known of the file behind an O_PATH descriptor, reading it
// if nothing is. With text its bytes are there too.
func (f *files) of(fd int, st *unix.Stat_t, text bool) (*content, unix.Errno) {
	key := stampOf(st)
	f.mu.Lock()
	c := f.known[key]
	f.mu.Unlock()
	if c != nil && (!text || c.bytes != nil) {
		return c, 0
	}
	c, errno := f.load(fd, st, text)
	if errno != 0 {
		return nil, errno
	}
	if c.trusted {
		f.keep(c)
	}
	return c, 0
}

func (f *files) keep(c *content) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := *c
	if len(c.bytes) > keepContent {
		k.bytes = nil
	}
	if f.kept += len(k.bytes); f.kept > keepTotal || len(f.known) > 1<<16 {
		f.known, f.kept = map[stamp]*content{}, len(k.bytes)
	}
	f.known[k.stamp] = &k
}

// load reads a file once, and again if it changed under the reading.
func (f *files) load(path int, st *unix.Stat_t, text bool) (*content, unix.Errno) {
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
	c := &content{stamp: stampOf(st)}
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
	if unix.Fstat(fd, &after) != nil || stampOf(&after) != c.stamp {
		return nil, unix.ETXTBSY // it changes while it is read: nothing to decide on
	}
	c.hash = hex.EncodeToString(h.Sum(nil))
	c.form, c.interp, c.arg, c.hasArg = parseHead(head.Bytes())
	if text {
		c.bytes = append([]byte{}, all.Bytes()...)
	}
	c.trusted = old(st.Ctim, began) || readOnly(fd)
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
func parseHead(head []byte) (f form, interp, arg string, hasArg bool) {
	if bytes.HasPrefix(head, []byte("\x7fELF")) {
		return formELF, "", "", false
	}
	line, ok := bytes.CutPrefix(head, []byte("#!"))
	if !ok {
		return formOther, "", "", false
	}
	whole := len(head) < headSize
	if i := bytes.IndexAny(line, "\n\x00"); i >= 0 {
		line, whole = line[:i], true
	}
	line = bytes.TrimLeft(line, " \t")
	i := bytes.IndexAny(line, " \t")
	if i < 0 && !whole || len(bytes.Trim(line, " \t")) == 0 {
		return formOther, "", "", false // the interpreter's name is cut off, or none
	}
	if i < 0 {
		return formScript, string(line), "", false
	}
	rest := bytes.Trim(line[i:], " \t")
	return formScript, string(line[:i]), string(rest), len(rest) > 0
}
