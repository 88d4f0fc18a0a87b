package hostwatch

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// dirent is one name as getdents64(2) gives it, without a stat.
type dirent struct {
	name string
	ino  uint64
	typ  uint8 // DT_*
}

// walk reads every directory below start once, several at a time. enter is
// called before a directory is opened, visit for each name in it; visit says
// whether to go into a directory. Both are called from several goroutines. A
// directory that has vanished or cannot be read is passed over: who may not
// read it here may not read it inside either.
type walk struct {
	root  int // descriptor
	enter func(rel string) error
	visit func(rel string, d dirent) bool

	mu   sync.Mutex
	cond *sync.Cond
	todo []string
	busy int
	err  error
}

func walkTree(ctx context.Context, root int, start string, enter func(string) error, visit func(string, dirent) bool) error {
	w := &walk{root: root, enter: enter, visit: visit, todo: []string{start}}
	w.cond = sync.NewCond(&w.mu)
	stop := context.AfterFunc(ctx, func() { w.fail(ctx.Err()) })
	defer stop()
	var wg sync.WaitGroup
	for range max(2, runtime.GOMAXPROCS(0)) {
		wg.Go(w.work)
	}
	wg.Wait()
	return w.err
}

func (w *walk) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	w.cond.Broadcast()
}

func (w *walk) work() {
	buf := make([]byte, 32<<10)
	for {
		w.mu.Lock()
		for len(w.todo) == 0 && w.busy > 0 && w.err == nil {
			w.cond.Wait()
		}
		if len(w.todo) == 0 || w.err != nil {
			w.mu.Unlock()
			w.cond.Broadcast()
			return
		}
		rel := w.todo[len(w.todo)-1]
		w.todo = w.todo[:len(w.todo)-1]
		w.busy++
		w.mu.Unlock()

		dirs, err := w.read(rel, buf)
		if err != nil {
			w.fail(err)
		}
		w.mu.Lock()
		w.todo = append(w.todo, dirs...)
		w.busy--
		w.mu.Unlock()
		w.cond.Broadcast()
	}
}

func (w *walk) read(rel string, buf []byte) (dirs []string, err error) {
	if w.enter != nil {
		if err := w.enter(rel); err != nil {
			return nil, err
		}
	}
	name := rel
	if name == "" {
		name = "."
	}
	fd, err := unix.Openat(w.root, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	switch {
	case gone(err) || err == unix.EACCES:
		return nil, nil
	case err != nil:
		return nil, err
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Getdents(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil && !gone(err) {
			return nil, err
		}
		if n <= 0 {
			return dirs, nil
		}
		for b := buf[:n]; ; {
			d, rest, ok := parseDirent(b)
			if !ok {
				break
			}
			b = rest
			if d.name == "." || d.name == ".." {
				continue
			}
			if d.typ == unix.DT_UNKNOWN {
				d.typ = typeOf(fd, d.name)
			}
			sub := join(rel, d.name)
			if w.visit(sub, d) && d.typ == unix.DT_DIR {
				dirs = append(dirs, sub)
			}
		}
	}
}

// parseDirent takes one struct linux_dirent64 from b.
func parseDirent(b []byte) (d dirent, rest []byte, ok bool) {
	const header = 19
	if len(b) < header {
		return d, nil, false
	}
	n := int(binary.NativeEndian.Uint16(b[16:]))
	if n < header || n > len(b) {
		return d, nil, false
	}
	name := b[header:n]
	for i, c := range name {
		if c == 0 {
			name = name[:i]
			break
		}
	}
	return dirent{name: string(name), ino: binary.NativeEndian.Uint64(b), typ: b[18]}, b[n:], true
}

func typeOf(dir int, name string) uint8 {
	var st unix.Stat_t
	if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return unix.DT_UNKNOWN
	}
	return uint8(st.Mode & unix.S_IFMT >> 12)
}

// gone reports whether err says that the name is no longer there, or no longer
// what it was.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}
