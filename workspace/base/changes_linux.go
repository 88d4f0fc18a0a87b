package base

import (
	"context"
	"errors"
	"io"
	"path"
	"slices"
	"sort"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/workspace/gitview"
	"github.com/countersign/countersign/workspace/layer"
	"github.com/countersign/countersign/workspace/tree"
)

// diffing is one comparison of the layer with its base.
type diffing struct {
	b       *Base
	mu      sync.Mutex
	seen    map[string]bool // base paths that still stand
	cand    []*candidate
	unknown []string        // directories that the base has not, still to be judged
	judged  map[string]bool // directories the base has not: true if git does not ignore them
	under   map[string]bool // directories: whether the base has them, or one above, as ignored
	masks   map[uint64]string
	moved   map[string]string // denied path to where its placeholder went
	hidden0 []string          // overlay: whiteouts and opaque directories
	hidden  int
	odd     []string
	opened  map[string]bool // directories made readable again
	fail    error
}

// candidate is a path whose stat differs from the base.
type candidate struct {
	layer.Item
	at      *layer.Root // where it lies: the staged tree, or an attached directory's upper layer
	in      string      // its path there
	ignored bool
	sum     [32]byte
	same    bool
	standIn bool // what git inside reads in place of withheld content: it goes nowhere
	gone    bool
}

// Difference is what a comparison found.
type Difference struct {
	Changes []tree.Change // sorted by path
	Moves   []Move
	Odd     []string // what stands where git expects an ignore file, and would hold it
	Hidden  int      // changed files that git ignores and that are not listed, each bulk directory counted by what it holds
}

// Compare finds the difference between the staged tree and its base. A file whose
// size, times and inode are those of the base is not read (as git's index does
// it; ctime cannot be set from inside). After Rest one comparison serves all.
func (b *Base) Compare(ctx context.Context) (*Difference, error) {
	if b.found == nil {
		d, err := b.compareNow(ctx)
		if err != nil || !b.rest {
			return d, err
		}
		b.found = d
	}
	d := *b.found
	d.Changes = slices.Clone(d.Changes)
	return &d, nil
}

// Rest says that the agent is gone, and nobody but this process, by Mark, Land,
// Return and Rekey, changes the staged tree or the base any more.
func (b *Base) Rest() { b.rest = true }

func (b *Base) compareNow(ctx context.Context) (*Difference, error) {
	d := &diffing{b: b, seen: map[string]bool{}, judged: map[string]bool{}, under: map[string]bool{}, masks: map[uint64]string{}, moved: map[string]string{}, opened: map[string]bool{}}
	for rel, e := range b.All() {
		if (e.Kind == Denied || e.Kind == Vault) && e.Snap.Ino != 0 {
			d.masks[e.Snap.Ino] = rel
		}
	}
	if err := d.walk(ctx, ""); err != nil {
		return nil, err
	}
	if err := d.judge(ctx); err != nil {
		return nil, err
	}
	if err := d.markIgnored(ctx); err != nil {
		return nil, err
	}
	if b.Overlay {
		b.First.Take(ctx, b, nil)
		for _, c := range d.cand {
			if !c.ignored {
				b.record(c.Rel)
			}
		}
		if err := d.hide(ctx); err != nil {
			return nil, err
		}
	}
	if err := d.compare(ctx); err != nil {
		return nil, err
	}
	return d.result(), nil
}

func (d *diffing) walk(ctx context.Context, rel string) error {
	var shut []string
	err := d.b.Tree.Walk(ctx, rel, d.visit, func(rel string, err error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if errors.Is(err, unix.EACCES) && !d.opened[rel] { // the agent hides nothing by taking permissions away
			d.opened[rel] = true
			shut = append(shut, rel)
			return
		}
		d.fail = errors.Join(d.fail, &countersign.Error{Code: countersign.EInvalid, Op: "read the staged", Thing: rel, Err: err, Remedy: "give it read permission inside the session"})
	})
	for _, rel := range shut {
		if err := d.b.Tree.Chmod(rel, 0o700); err != nil {
			return err
		}
		if err := d.walk(ctx, rel); err != nil {
			return err
		}
	}
	return errors.Join(err, d.fail)
}

func (d *diffing) visit(it layer.Item) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.b.Places[it.Rel] {
		return false
	}
	e := d.b.Get(it.Rel)
	if at := d.masks[it.St.Ino]; at != "" && (e == nil || e.Snap.Ino != it.St.Ino) {
		if (it.St.Size == 0 || it.Format() == unix.S_IFDIR) && d.b.Get(at).stands(d.b.Tree, &it) {
			d.moved[at] = it.Rel
			d.seen[at] = true
			return false
		}
	}
	if d.b.Overlay {
		if it.Format() == unix.S_IFCHR && it.St.Rdev == 0 || it.Format() == unix.S_IFDIR && d.b.Tree.IsOpaque(it.Rel) {
			d.hidden0 = append(d.hidden0, it.Rel)
		}
	}
	if it.Format() == unix.S_IFDIR {
		return d.visitDir(it, e)
	}
	if it.Format() != unix.S_IFREG && it.Format() != unix.S_IFLNK {
		if odd(&it) && !d.b.Overlay {
			d.odd = append(d.odd, it.Rel)
		}
		return false // a socket, a pipe: never part of a change
	}
	if e != nil && e.Kind != Dir {
		d.seen[it.Rel] = true
		if e.Snap == layer.StampOf(&it.St) {
			return false
		}
	}
	d.cand = append(d.cand, &candidate{Item: it, at: d.b.Tree, in: it.Rel, ignored: d.underIgnored(it.Rel, e)})
	return false
}

func (d *diffing) visitDir(it layer.Item, e *Entry) bool {
	if e != nil {
		switch {
		case e.Kind == Vault && e.Snap.Ino != 0 && !e.stands(d.b.Tree, &it): // the agent's own, made where it was
		case e.Kind == Dir || e.Kind == Vault:
			d.seen[it.Rel] = true
			return e.Kind == Dir
		case e.Kind == Bulk || e.Kind == Attach:
			d.seen[it.Rel] = true
			d.peek(it.Rel)
			return false
		}
	}
	if open, known := d.judged[it.Rel]; known {
		return open
	}
	if d.underIgnored(it.Rel, nil) || path.Base(it.Rel) == ".git" || insideGit(it.Rel) {
		return true
	}
	d.unknown = append(d.unknown, it.Rel)
	return false
}

// insideGit tells whether rel lies in a .git that was made inside: git has no
// word on what is ignored there.
func insideGit(rel string) bool { return strings.Contains("/"+rel, "/.git/") }

// underIgnored tells whether rel is ignored by the base, or lies in a directory
// that is.
func (d *diffing) underIgnored(rel string, e *Entry) bool {
	if e != nil && e.Kind != Dir {
		return e.Flags&Ignored != 0
	}
	return d.inIgnored(layer.Parent(rel)) || d.ignoredDir(rel)
}

func (d *diffing) ignoredDir(rel string) bool {
	e := d.b.Get(rel)
	return e != nil && e.Kind == Dir && e.Flags&Ignored != 0
}

// inIgnored is kept for each directory: a walk comes from above.
func (d *diffing) inIgnored(dir string) bool {
	if dir == "" {
		return false
	}
	in, known := d.under[dir]
	if !known {
		in = d.ignoredDir(dir) || d.inIgnored(layer.Parent(dir))
		d.under[dir] = in
	}
	return in
}

// peek looks through an ignored directory by name only and lists what is denied
// or notable; the rest is counted.
func (d *diffing) peek(dir string) {
	var mu sync.Mutex
	at, start, prefix := d.b.Tree, dir, ""
	if up := d.b.Attached[dir]; up != nil {
		at, start, prefix = up, "", dir
	}
	at.Walk(context.Background(), start, func(it layer.Item) bool {
		in, mask := it.Rel, d.b.Get(d.masks[it.St.Ino]).stands(at, &it)
		it.Rel = path.Join(prefix, it.Rel)
		notable := d.b.denied(&it) || d.b.Notable(it.Name())
		mu.Lock()
		defer mu.Unlock()
		e := d.b.Get(it.Rel)
		if e != nil {
			d.seen[it.Rel] = true
		}
		if it.Format() == unix.S_IFDIR {
			return true
		}
		if notable && e == nil && !mask && (it.Format() == unix.S_IFREG || it.Format() == unix.S_IFLNK) {
			d.cand = append(d.cand, &candidate{Item: it, at: at, in: in, ignored: true})
		} else if e == nil {
			d.hidden++
		}
		return false
	}, nil)
}

// judge asks git about directories the base does not know, and goes into those
// it does not ignore: at first level by level, as they may be ignored and bulky,
// then by twice as many at a time, as they may be deep.
func (d *diffing) judge(ctx context.Context) error {
	for levels := 1; len(d.unknown) > 0; levels *= 2 {
		dirs := d.unknown
		d.unknown = nil
		all, err := d.directories(ctx, dirs, levels)
		if err != nil {
			return err
		}
		asked := make([]string, len(all))
		for i, dir := range all {
			asked[i] = dir + "/"
		}
		ignored, err := d.b.checkIgnored(ctx, asked)
		if err != nil {
			return err
		}
		for _, dir := range all { // a directory before what lies in it
			if up, known := d.judged[layer.Parent(dir)]; known && !up {
				d.judged[dir] = false
			} else if d.judged[dir] = !ignored[dir+"/"]; !d.judged[dir] {
				d.peek(dir)
			}
		}
		for _, dir := range dirs {
			if !d.judged[dir] {
				continue
			}
			if err := d.walk(ctx, dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// directories lists the directories at and below dirs, sorted, that many levels
// of them, but for those git has no word on.
func (d *diffing) directories(ctx context.Context, dirs []string, levels int) ([]string, error) {
	all := slices.Clone(dirs)
	var mu sync.Mutex
	for _, dir := range dirs {
		if levels == 1 {
			break
		}
		top := strings.Count(dir, "/")
		err := d.b.Tree.Walk(ctx, dir, func(it layer.Item) bool {
			if it.Format() != unix.S_IFDIR || d.b.Places[it.Rel] || path.Base(it.Rel) == ".git" || d.b.Get(it.Rel) != nil {
				return false
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, it.Rel)
			return strings.Count(it.Rel, "/")-top < levels-1
		}, nil)
		if err != nil {
			return nil, err
		}
	}
	sort.Strings(all)
	return all, nil
}

func (d *diffing) markIgnored(ctx context.Context) error {
	var ask []string
	for _, c := range d.cand {
		if !c.ignored && d.b.Get(c.Rel) == nil && !insideGit(c.Rel) {
			ask = append(ask, c.Rel)
		}
	}
	ignored, err := d.b.checkIgnored(ctx, ask)
	for _, c := range d.cand {
		c.ignored = c.ignored || ignored[c.Rel]
	}
	return err
}

// compare reads what stat says differs.
func (d *diffing) compare(ctx context.Context) error {
	return layer.Parallel(ctx, len(d.cand), func(i int) error {
		c := d.cand[i]
		sum, err := c.at.Sum(c.in, c.St.Mode)
		if errors.Is(err, unix.EACCES) && c.at.Chmod(c.in, c.St.Mode&0o777|0o400) == nil {
			sum, err = c.at.Sum(c.in, c.St.Mode)
		}
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EINVAL) {
			c.gone = true // changed since the walk; the next look tells
			return nil
		}
		if err != nil {
			return &countersign.Error{Code: countersign.EInvalid, Op: "read the staged", Thing: c.Rel, Err: err, Remedy: "give it read permission inside the session"}
		}
		c.sum = sum
		c.standIn = gitview.StandIn(c.St.Size, func() (io.ReadCloser, error) { return c.at.Content(c.in, c.St.Mode) })
		e := d.b.Get(c.Rel)
		c.same = e != nil && (e.Kind == File || e.Kind == Link) && e.Sum == sum && layer.GitMode(e.Mode) == layer.GitMode(c.St.Mode)
		if c.same {
			if st, err := d.b.Tree.Lstat(c.Rel); err == nil && layer.StampOf(&st) == layer.StampOf(&c.St) {
				d.mu.Lock()
				e.Snap = layer.StampOf(&c.St)
				d.b.Touch()
				d.mu.Unlock()
			}
		}
		return nil
	})
}

func (d *diffing) result() *Difference {
	var list []tree.Change
	for _, c := range d.cand {
		if c.same || c.standIn {
			continue
		}
		e := d.b.Get(c.Rel)
		if c.gone {
			if e == nil {
				continue
			}
			delete(d.seen, c.Rel)
			continue
		}
		if e != nil && (!c.ignored || d.b.rest) {
			d.b.Keep(c.Rel, e)
		}
		list = append(list, tree.Change{Path: c.Rel, Base: d.b.baseState(c.Rel, e), Staged: d.b.stagedState(c), Ignored: c.ignored})
	}
	moves, follow := d.moves()
	list = append(list, follow...)
	for rel, e := range d.b.All() {
		switch {
		case d.seen[rel]:
		case e.Kind == File || e.Kind == Link:
			d.b.Keep(rel, e)
			list = append(list, tree.Change{Path: rel, Base: d.b.baseState(rel, e), Ignored: e.Flags&Ignored != 0})
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Path < list[j].Path })
	return &Difference{Changes: findRenames(list), Moves: moves, Hidden: d.hidden, Odd: d.odd}
}
