package stage

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

// side says whose directory a watch stands on.
type side int

const (
	onReal    side = iota // the person's tree
	onTree                // the staged tree
	onRealGit             // a real git directory
	onOwnGit              // a session's git directory
)

type place struct {
	side side
	rel  string // for git directories: the absolute path
}

// watcher is one inotify(7) instance. Watches are set through a descriptor of
// the directory, so that no link can lead them elsewhere.
type watcher struct {
	f    *os.File
	fd   int // f's: asking f for it would make its reads block
	mu   sync.Mutex
	by   map[int32]place
	have map[place]int32
	full bool // the limit of watches was met
}

func newWatcher() (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, &countersign.Error{Code: countersign.EInvalid, Op: "watch the tree", Err: err, Remedy: "raise fs.inotify.max_user_instances"}
	}
	return &watcher{fd: fd, f: os.NewFile(uintptr(fd), "inotify"), by: map[int32]place{}, have: map[place]int32{}}, nil
}

const watchMask = unix.IN_CREATE | unix.IN_CLOSE_WRITE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE | unix.IN_ATTRIB | unix.IN_ONLYDIR

// add watches a directory below r.
func (w *watcher) add(r *root, p place) error {
	fd, err := r.dir(p.rel)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return w.addPath(procFD(fd), p)
}

func (w *watcher) addPath(at string, p place) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	wd, err := unix.InotifyAddWatch(w.fd, at, watchMask)
	if errors.Is(err, unix.ENOSPC) {
		w.full = true
	}
	if err == nil {
		w.by[int32(wd)], w.have[p] = p, int32(wd)
	}
	return err
}

// seen is one event.
type seen struct {
	place
	name string
	mask uint32
}

// read waits for events. An overflow is one with no place and IN_Q_OVERFLOW.
func (w *watcher) read(buf []byte) ([]seen, error) {
	n, err := w.f.Read(buf)
	if err != nil {
		return nil, err
	}
	var list []seen
	w.mu.Lock()
	defer w.mu.Unlock()
	for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
		wd := int32(binary.NativeEndian.Uint32(b))
		mask := binary.NativeEndian.Uint32(b[4:])
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
			list = append(list, seen{p, name, mask})
		}
	}
	return list, nil
}

func (e seen) path() string { return path.Join(e.rel, e.name) }
