package layer

import (
	"context"
	"errors"
	"os"
	"path"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Item is one path a walk found.
type Item struct {
	Rel string
	St  unix.Stat_t
}

// Format is the S_IFMT part of the mode.
func (it *Item) Format() uint32 { return it.St.Mode & unix.S_IFMT }

// Name is the path as policies want it: a directory's ends in a slash.
func (it *Item) Name() string {
	if it.Format() == unix.S_IFDIR {
		return it.Rel + "/"
	}
	return it.Rel
}

// walkers is how many goroutines walk or copy: the work is the kernel's, and two
// cores are common.
const walkers = 2

// Walk goes through the tree below rel (rel itself left out) and calls visit for
// each entry, from several goroutines; visit tells whether to go into a
// directory. What vanishes, or is swapped for a link, meanwhile is left out; one that
// cannot be read is reported to fail, if fail is not nil. A directory is opened
// from one that is held open at most stride levels above it, so that depth costs
// nothing; one that is moved away meanwhile is read where it went.
func (r *Root) Walk(ctx context.Context, rel string, visit func(Item) bool, fail func(rel string, err error)) error {
	_, err := r.walk(ctx, rel, visit, fail)
	return err
}

func (r *Root) walk(ctx context.Context, rel string, visit func(Item) bool, fail func(rel string, err error)) (*walking, error) {
	q := &walking{visit: visit, held: map[*anchor]bool{}}
	q.cond.L = &q.mu
	fd, err := r.dir(rel)
	if err != nil {
		if !errors.Is(err, unix.ENOENT) && !Swapped(err) && fail != nil {
			fail(rel, r.err("open", rel, err))
		}
		return q, ctx.Err()
	}
	start := &anchor{fd: fd, rel: rel}
	q.held[start] = true
	q.add([]spot{{rel: rel, from: start}})
	var wg sync.WaitGroup
	for range walkers {
		wg.Go(func() {
			for {
				at, ok := q.pop(ctx)
				if !ok {
					return
				}
				found, err := q.read(at)
				if err != nil && !errors.Is(err, unix.ENOENT) && !Swapped(err) && fail != nil {
					fail(at.rel, r.err("readdir", at.rel, err))
				}
				q.done(at, found)
			}
		})
	}
	wg.Wait()
	for a := range q.held {
		unix.Close(a.fd)
	}
	return q, ctx.Err()
}

// stride is how many levels apart directories are held open, and maxHeld how many
// are: where that is not enough, as in a tree of many thousand levels, the way
// from one to what lies below gets longer.
const (
	stride  = 32
	maxHeld = 256
)

// anchor is a directory that is held open while something below it is still to be
// walked.
type anchor struct {
	fd    int
	rel   string
	level int
	uses  int
}

// spot is a directory still to be walked.
type spot struct {
	rel   string
	level int
	from  *anchor
}

// walking is a Walk that goes on.
type walking struct {
	visit func(Item) bool
	mu    sync.Mutex
	cond  sync.Cond
	todo  []spot
	busy  int
	held  map[*anchor]bool
	steps int // levels that opens went through
	most  int // of held
}

// read reads a directory and lists those in it that are to be walked.
func (q *walking) read(at spot) (found []spot, err error) {
	way := "."
	if at.rel != at.from.rel {
		way = at.rel[len(at.from.rel):]
		way = strings.TrimPrefix(way, "/")
	}
	fd, err := openDir(at.from.fd, way, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), at.rel)
	all, err := f.ReadDir(-1)
	if err != nil {
		f.Close()
		return nil, err
	}
	for _, e := range all {
		it := Item{Rel: path.Join(at.rel, e.Name())}
		if unix.Fstatat(fd, e.Name(), &it.St, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue // gone since
		}
		if q.visit(it) && it.Format() == unix.S_IFDIR {
			found = append(found, spot{rel: it.Rel, level: at.level + 1, from: at.from})
		}
	}
	if len(found) > 0 && at.level-at.from.level >= stride {
		q.hold(fd, at, found)
	}
	return found, f.Close()
}

// hold makes a directory the one that those found in it are opened from.
func (q *walking) hold(fd int, at spot, found []spot) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.held) >= maxHeld {
		return
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return
	}
	a := &anchor{fd: own, rel: at.rel, level: at.level}
	q.held[a] = true
	q.most = max(q.most, len(q.held))
	for i := range found {
		found[i].from = a
	}
}

func (q *walking) add(more []spot) {
	for _, at := range more {
		at.from.uses++
	}
	q.todo = append(q.todo, more...)
}

func (q *walking) pop(ctx context.Context) (spot, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.todo) == 0 && q.busy > 0 {
		q.cond.Wait()
	}
	if len(q.todo) == 0 || ctx.Err() != nil {
		return spot{}, false
	}
	at := q.todo[len(q.todo)-1]
	q.todo = q.todo[:len(q.todo)-1]
	q.busy++
	q.steps += at.level - at.from.level
	return at, true
}

func (q *walking) done(at spot, more []spot) {
	q.mu.Lock()
	q.busy--
	q.add(more)
	if at.from.uses--; at.from.uses == 0 {
		delete(q.held, at.from)
		unix.Close(at.from.fd)
	}
	q.mu.Unlock()
	q.cond.Broadcast()
}

// Parallel runs f for 0..n-1 on the walkers and returns the first error.
func Parallel(ctx context.Context, n int, f func(i int) error) error {
	var (
		mu   sync.Mutex
		next int
		fail error
		wg   sync.WaitGroup
	)
	for range min(walkers, n) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				mu.Lock()
				i := next
				next++
				stop := fail != nil || i >= n || ctx.Err() != nil
				mu.Unlock()
				if stop {
					return
				}
				if err := f(i); err != nil {
					mu.Lock()
					fail = errors.Join(fail, err)
					mu.Unlock()
				}
			}
		}()
	}
	wg.Wait()
	return errors.Join(fail, ctx.Err())
}
