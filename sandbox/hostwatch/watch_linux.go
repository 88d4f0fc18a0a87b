package hostwatch

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign"
)

// what inotify tells of each directory. Not IN_MODIFY: a file that is being
// written is told of when it is closed.
const watchMask = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_CLOSE_WRITE | unix.IN_ATTRIB |
	unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW | unix.IN_EXCL_UNLINK

// movedFor is how long a denied file that was renamed away is looked for under
// its new name.
const movedFor = 10 * time.Second

// Watcher tells of denied names in a tree until its context ends.
type Watcher struct {
	root  string
	file  *os.File
	ino   int // file's descriptor
	match Match
	skip  Skip
	tell  func(Event)
	done  chan struct{}
	err   error

	mu    sync.Mutex // guards what the parallel first walk fills
	dirs  map[int32]string
	wds   map[string]int32
	names map[string]Found // denied names and aliases that are there
	moved map[inode]movedName
}

type movedName struct {
	Found
	at time.Time
}

// Watch starts to watch the tree and returns once every directory is watched
// and read; Found then has what was there. tell is called from one goroutine,
// after Watch has returned, and may take its time: the kernel holds the events.
func Watch(ctx context.Context, root string, match Match, skip Skip, tell func(Event)) (*Watcher, error) {
	root, fd, err := openRoot(root)
	if err != nil {
		return nil, err
	}
	unix.Close(fd) // the end of a directory that is held open is not told
	ino, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fault("watch", root, err)
	}
	w := &Watcher{
		root: root, file: os.NewFile(uintptr(ino), "inotify"), ino: ino, match: match, skip: skip, tell: func(Event) {},
		done: make(chan struct{}), dirs: map[int32]string{}, wds: map[string]int32{}, names: map[string]Found{}, moved: map[inode]movedName{},
	}
	if err := w.readAll(ctx); err != nil {
		w.file.Close()
		return nil, err
	}
	w.tell = tell
	go w.run(ctx)
	return w, nil
}

// Found returns the denied names and aliases that are there now.
func (w *Watcher) Found() []Found {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]Found, 0, len(w.names))
	for _, f := range w.names {
		out = append(out, f)
	}
	return out
}

// Done is closed when nothing is told any more.
func (w *Watcher) Done() <-chan struct{} { return w.done }

// Err says why the watcher ended: nil if its context did. It may be called
// after Done.
func (w *Watcher) Err() error { return w.err }

func (w *Watcher) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { w.file.Close() })
	defer close(w.done)
	defer w.file.Close()
	defer stop()
	buf := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buf)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = w.handle(ctx, buf[:n])
		}
		if err != nil && ctx.Err() == nil {
			w.err = fault("watch", w.root, err)
			return
		}
	}
}

// handle works through one read of struct inotify_event.
func (w *Watcher) handle(ctx context.Context, b []byte) error {
	for len(b) >= unix.SizeofInotifyEvent {
		wd, mask := int32(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint32(b[4:])
		n := int(binary.NativeEndian.Uint32(b[12:]))
		if len(b) < unix.SizeofInotifyEvent+n {
			return errors.New("a cut inotify event")
		}
		name := strings.TrimRight(string(b[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+n]), "\x00")
		b = b[unix.SizeofInotifyEvent+n:]
		if err := w.event(ctx, wd, mask, name); err != nil {
			return err
		}
	}
	return nil
}

func (w *Watcher) event(ctx context.Context, wd int32, mask uint32, name string) error {
	if mask&unix.IN_Q_OVERFLOW != 0 {
		return w.readAll(ctx)
	}
	dir, ok := w.dirs[wd]
	if mask&unix.IN_IGNORED != 0 {
		delete(w.dirs, wd)
		if ok && w.wds[dir] == wd {
			delete(w.wds, dir)
			if dir == "" {
				return errors.New("the tree is gone")
			}
		}
		return nil
	}
	if !ok || name == "" {
		return nil
	}
	rel := join(dir, name)
	switch {
	case mask&(unix.IN_DELETE|unix.IN_MOVED_FROM) != 0:
		w.leave(rel, mask&unix.IN_MOVED_FROM != 0)
	case mask&unix.IN_ISDIR != 0 && mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0:
		return w.enterDir(ctx, rel)
	default:
		w.check(rel)
	}
	return nil
}

// enterDir takes in a directory that came.
func (w *Watcher) enterDir(ctx context.Context, rel string) error {
	w.leave(rel, false) // what was of that name is not what is now
	if w.check(rel) || w.skip(rel) {
		return nil
	}
	return w.readTree(ctx, rel)
}

// readTree watches and reads a directory and everything below it, and then
// looks at each name it found there.
func (w *Watcher) readTree(ctx context.Context, start string) error {
	var fresh []string
	err := w.walk(ctx, start, func(rel string, d dirent) bool {
		dir := d.typ == unix.DT_DIR
		_, denied := w.match(rel, dir)
		if denied || !dir {
			w.mu.Lock()
			fresh = append(fresh, rel)
			w.mu.Unlock()
		}
		return !denied && dir && !w.skip(rel)
	})
	for _, denied := range []bool{true, false} { // an alias is known by what is denied
		for _, rel := range fresh {
			if _, is := w.denies(rel); is == denied {
				w.check(rel)
			}
		}
	}
	return err
}

func (w *Watcher) walk(ctx context.Context, start string, visit func(string, dirent) bool) error {
	_, fd, err := openRoot(w.root)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return walkTree(ctx, fd, start, w.watchDir, visit)
}

// readAll watches every directory, reads the whole tree, and tells what is not
// as it was known.
func (w *Watcher) readAll(ctx context.Context) error {
	err := w.walk(ctx, "", func(rel string, d dirent) bool {
		if d.typ != unix.DT_DIR {
			return false
		}
		_, denied := w.match(rel, true)
		return !denied && !w.skip(rel)
	})
	if err != nil {
		return err
	}
	found, err := Scan(ctx, w.root, w.match, w.skip)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, f := range found {
		there[f.Rel] = true
		w.put(f)
	}
	for _, f := range w.Found() {
		if !there[f.Rel] {
			w.leave(f.Rel, false)
		}
	}
	return nil
}

func (w *Watcher) watchDir(rel string) error {
	path := w.root
	if rel != "" {
		path += "/" + rel
	}
	wd, err := unix.InotifyAddWatch(w.ino, path, watchMask)
	switch {
	case gone(err) || err == unix.EACCES:
		return nil
	case err == unix.ENOSPC:
		return &countersign.Error{
			Code: countersign.EPosture, Op: "watch", Thing: path, Err: errors.New("the user's inotify watches are used up"),
			Remedy: "sudo sysctl fs.inotify.max_user_watches=1048576",
		}
	case err != nil:
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dirs[int32(wd)], w.wds[rel] = rel, int32(wd)
	return nil
}

func (w *Watcher) denies(rel string) (Found, bool) {
	f, ok := look(unix.AT_FDCWD, w.root+"/"+rel)
	if !ok {
		return f, false
	}
	f.Rel = rel
	var denied bool
	f.Rule, denied = w.match(rel, f.Dir)
	return f, denied
}

// check looks at one name and tells what is new about it. It reports whether
// the name is denied or an alias.
func (w *Watcher) check(rel string) bool {
	f, denied := w.denies(rel)
	if f.Rel == "" || !denied && !w.alias(&f) {
		if _, was := w.names[rel]; was {
			w.leave(rel, false)
		}
		return false
	}
	w.put(f)
	return true
}

func (w *Watcher) put(f Found) {
	old, was := w.names[f.Rel]
	w.mu.Lock()
	w.names[f.Rel] = f
	w.mu.Unlock()
	switch {
	case !was:
		w.tell(Event{Appeared, f})
		w.siblings(f)
	case old.Ino != f.Ino || old.Dev != f.Dev || old.ctime != f.ctime:
		w.tell(Event{Changed, f})
	}
}

// alias reports whether a harmless name is one of a denied file.
func (w *Watcher) alias(f *Found) bool {
	k := inode{f.Dev, f.Ino}
	if f.Mode&unix.S_IFMT == unix.S_IFLNK {
		t := newTargets()
		for _, n := range w.names {
			if n.Of == "" {
				t.all[inode{n.Dev, n.Ino}] = n
				if n.Dir {
					t.dirs = append(t.dirs, Found{Rel: w.root + "/" + n.Rel, Rule: n.Rule, Of: n.Rel})
				}
			}
		}
		return t.leadsTo(w.root+"/"+f.Rel, f)
	}
	if m, ok := w.moved[k]; ok {
		delete(w.moved, k)
		if time.Since(m.at) < movedFor {
			f.Rule, f.Of = m.Rule, cmp.Or(m.Of, m.Rel)
			return true
		}
	}
	if old, ok := w.names[f.Rel]; ok && old.Of != "" && old.Ino == f.Ino && old.Dev == f.Dev {
		f.Rule, f.Of = old.Rule, old.Of
		return true
	}
	if f.Nlink < 2 || f.Dir {
		return false
	}
	for _, n := range w.names {
		if n.Ino == f.Ino && n.Dev == f.Dev && n.Rel != f.Rel {
			f.Rule, f.Of = n.Rule, cmp.Or(n.Of, n.Rel)
			return true
		}
	}
	return false
}

// siblings looks again at the other names of an inode: their link count and
// ctime have moved, which inotify does not tell of.
func (w *Watcher) siblings(f Found) {
	for rel, n := range w.names {
		if n.Ino == f.Ino && n.Dev == f.Dev && rel != f.Rel {
			w.check(rel)
		}
	}
}

// leave takes a name, and all below it, out. What was moved may turn up again
// under another name.
func (w *Watcher) leave(rel string, moved bool) {
	var out []Found
	w.mu.Lock()
	for n, f := range w.names {
		if below(n, rel) {
			out = append(out, f)
			delete(w.names, n)
		}
	}
	w.mu.Unlock()
	for _, f := range out {
		if moved {
			w.moved[inode{f.Dev, f.Ino}] = movedName{f, time.Now()}
		}
		w.tell(Event{Gone, f})
		w.siblings(f)
	}
	for k, m := range w.moved {
		if time.Since(m.at) > movedFor {
			delete(w.moved, k)
		}
	}
	if _, dir := w.wds[rel]; !dir {
		return
	}
	for d, wd := range w.wds {
		if below(d, rel) {
			_, _ = unix.InotifyRmWatch(w.ino, uint32(wd))
			delete(w.wds, d)
			delete(w.dirs, wd)
		}
	}
}
