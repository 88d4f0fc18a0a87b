package stage

import (
	"context"
	"errors"
	"path"
	"sync"

	"golang.org/x/sys/unix"
)

// item is one path a walk found.
type item struct {
	rel string
	st  unix.Stat_t
}

func (it *item) format() uint32 { return it.st.Mode & unix.S_IFMT }

// walkers is how many goroutines walk or copy: the work is the kernel's, and two
// cores are common.
const walkers = 2

// walk goes through the tree below rel (rel itself left out) and calls visit for
// each entry, from several goroutines; visit tells whether to go into a
// directory. What vanishes, or is swapped for a link, meanwhile is left out; one that
// cannot be read is reported to fail, if fail is not nil.
func (r *root) walk(ctx context.Context, rel string, visit func(item) bool, fail func(rel string, err error)) error {
	q := &queue{dirs: []string{rel}}
	q.cond.L = &q.mu
	var wg sync.WaitGroup
	for range walkers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				dir, ok := q.pop(ctx)
				if !ok {
					return
				}
				found, err := r.walkDir(dir, visit)
				if err != nil && !errors.Is(err, unix.ENOENT) && !agents(err) && fail != nil {
					fail(dir, err)
				}
				q.done(found)
			}
		}()
	}
	wg.Wait()
	return ctx.Err()
}

func (r *root) walkDir(dir string, visit func(item) bool) (found []string, err error) {
	all, err := r.names(dir)
	if err != nil {
		return nil, err
	}
	at, err := r.dir(dir)
	if err != nil {
		return nil, err
	}
	defer unix.Close(at)
	for _, e := range all {
		it := item{rel: path.Join(dir, e.Name())}
		if unix.Fstatat(at, e.Name(), &it.st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue // gone since
		}
		if visit(it) && it.format() == unix.S_IFDIR {
			found = append(found, it.rel)
		}
	}
	return found, nil
}

// queue holds the directories still to be walked.
type queue struct {
	mu   sync.Mutex
	cond sync.Cond
	dirs []string
	busy int
}

func (q *queue) pop(ctx context.Context) (string, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.dirs) == 0 && q.busy > 0 {
		q.cond.Wait()
	}
	if len(q.dirs) == 0 || ctx.Err() != nil {
		return "", false
	}
	d := q.dirs[len(q.dirs)-1]
	q.dirs = q.dirs[:len(q.dirs)-1]
	q.busy++
	return d, true
}

func (q *queue) done(more []string) {
	q.mu.Lock()
	q.busy--
	q.dirs = append(q.dirs, more...)
	q.mu.Unlock()
	q.cond.Broadcast()
}

func stampOf(st *unix.Stat_t) stamp {
	return stamp{size: st.Size, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(), ino: st.Ino}
}

// parallel runs f for 0..n-1 on the walkers and returns the first error.
func parallel(ctx context.Context, n int, f func(i int) error) error {
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
