package layer

import (
	"context"
	"errors"
	"path"
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
// cannot be read is reported to fail, if fail is not nil.
func (r *Root) Walk(ctx context.Context, rel string, visit func(Item) bool, fail func(rel string, err error)) error {
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
				if err != nil && !errors.Is(err, unix.ENOENT) && !Swapped(err) && fail != nil {
					fail(dir, err)
				}
				q.done(found)
			}
		}()
	}
	wg.Wait()
	return ctx.Err()
}

func (r *Root) walkDir(dir string, visit func(Item) bool) (found []string, err error) {
	all, err := r.Names(dir)
	if err != nil {
		return nil, err
	}
	at, err := r.dir(dir)
	if err != nil {
		return nil, err
	}
	defer unix.Close(at)
	for _, e := range all {
		it := Item{Rel: path.Join(dir, e.Name())}
		if unix.Fstatat(at, e.Name(), &it.St, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue // gone since
		}
		if visit(it) && it.Format() == unix.S_IFDIR {
			found = append(found, it.Rel)
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
