package layer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path"
	"sync"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
)

// Side says whose directory a watch stands on; its values are the caller's.
type Side int

// Place is a watched directory.
type Place struct {
	Side Side
	Rel  string // below its root; of AddPath what the caller names it by
}

// Watcher is one inotify(7) instance. Watches are set through a descriptor of
// the directory, so that no link can lead them elsewhere.
type Watcher struct {
	f    *os.File
	fd   int // f's: asking f for it would make its reads block
	mu   sync.Mutex
	by   map[int32]Place
	have map[Place]int32
	full bool // the limit of watches was met
}

// NewWatcher makes one without watches.
func NewWatcher() (*Watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, &countersign.Error{Code: countersign.EInvalid, Op: "watch the tree", Err: err, Remedy: "raise fs.inotify.max_user_instances"}
	}
	return &Watcher{fd: fd, f: os.NewFile(uintptr(fd), "inotify"), by: map[int32]Place{}, have: map[Place]int32{}}, nil
}

// Close ends a Read and all watches.
func (w *Watcher) Close() error { return w.f.Close() }

// Full tells that the limit of watches was met, and some directory has none.
func (w *Watcher) Full() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.full
}

const (
	nameMask = unix.IN_CREATE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE | unix.IN_ONLYDIR
	fileMask = unix.IN_CLOSE_WRITE | unix.IN_ATTRIB
)

// Add watches a directory below r, and the files in it.
func (w *Watcher) Add(r *Root, p Place) error { return w.addBelow(r, p, nameMask|fileMask) }

// AddNames watches the names of a directory alone, which makes no read of a file
// in it dearer. What a file holds is seen if AddFile watches it.
func (w *Watcher) AddNames(r *Root, p Place) error { return w.addBelow(r, p, nameMask) }

func (w *Watcher) addBelow(r *Root, p Place, mask uint32) error {
	fd, err := r.dir(p.Rel)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return w.add(procFD(fd), p, mask)
}

// AddFile watches what a regular file below r holds; anything else is left as it
// is watched. Its events have no name.
func (w *Watcher) AddFile(r *Root, p Place) error {
	return r.in("watch", p.Rel, func(at int, name string) error {
		fd, err := openat2(at, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			return err
		}
		return w.add(procFD(fd), p, fileMask)
	})
}

// AddPath watches a directory that nobody else can swap.
func (w *Watcher) AddPath(at string, p Place) error { return w.add(at, p, nameMask|fileMask) }

func (w *Watcher) add(at string, p Place, mask uint32) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	wd, err := unix.InotifyAddWatch(w.fd, at, mask)
	if errors.Is(err, unix.ENOSPC) {
		w.full = true
	}
	if err == nil {
		w.by[int32(wd)], w.have[p] = p, int32(wd)
	}
	return err
}

// Seen is one event.
type Seen struct {
	Place
	Name   string
	Mask   uint32 // of inotify(7)
	Cookie uint32 // the same on both events of one rename
}

// Read waits for events. An overflow is one with no place and IN_Q_OVERFLOW.
func (w *Watcher) Read(buf []byte) ([]Seen, error) {
	n, err := w.f.Read(buf)
	if err != nil {
		return nil, err
	}
	var list []Seen
	w.mu.Lock()
	defer w.mu.Unlock()
	for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
		wd := int32(binary.NativeEndian.Uint32(b))
		mask := binary.NativeEndian.Uint32(b[4:])
		cookie := binary.NativeEndian.Uint32(b[8:])
		size := int(binary.NativeEndian.Uint32(b[12:]))
		name := string(bytes.TrimRight(b[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+size], "\x00"))
		b = b[unix.SizeofInotifyEvent+size:]
		p, ok := w.by[wd]
		switch {
		case mask&unix.IN_IGNORED != 0:
			if w.have[p] == wd {
				delete(w.have, p)
			}
			delete(w.by, wd)
		case ok || mask&unix.IN_Q_OVERFLOW != 0:
			list = append(list, Seen{p, name, mask, cookie})
		}
	}
	return list, nil
}

// Path is the path of what changed.
func (e Seen) Path() string { return path.Join(e.Rel, e.Name) }
