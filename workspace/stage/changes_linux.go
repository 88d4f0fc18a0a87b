package stage

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"path"
	"sort"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/workspace/gitview"
	"github.com/countersign/countersign/workspace/tree"
)

// diffing is one comparison of the layer with its base.
type diffing struct {
	s       *Staging
	mu      sync.Mutex
	seen    map[string]bool // base paths that still stand
	cand    []*candidate
	unknown []string // directories that the base has not, still to be judged
	judged  map[string]bool
	ignored map[string]bool // among those: git ignores them
	masks   map[uint64]string
	moved   map[string]string // denied path to where its placeholder went
	hidden0 []string          // overlay: whiteouts and opaque directories
	hidden  int
	opened  map[string]bool // directories made readable again
	fail    error
}

// candidate is a path whose stat differs from the base.
type candidate struct {
	item
	at      *root  // where it lies: the staged tree, or an attached directory's upper layer
	in      string // its path there
	ignored bool
	sum     [32]byte
	same    bool
	gone    bool
}

// Changes is the difference between the layer and its base, sorted by path. A
// file whose size, times and inode are those of the base is not read (as git's
// index does it; ctime cannot be set from inside).
func (s *Staging) Changes(ctx context.Context) ([]tree.Change, error) {
	s.op.Lock()
	defer s.op.Unlock()
	return s.changes(ctx)
}

func (s *Staging) changes(ctx context.Context) ([]tree.Change, error) {
	d := &diffing{s: s, seen: map[string]bool{}, judged: map[string]bool{}, ignored: map[string]bool{}, masks: map[uint64]string{}, moved: map[string]string{}, opened: map[string]bool{}}
	for rel, e := range s.idx.m {
		if (e.kind == kDenied || e.kind == kVault) && e.snap.ino != 0 {
			d.masks[e.snap.ino] = rel
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
	if s.meta.Backend == Overlay {
		for _, c := range d.cand {
			if !c.ignored {
				s.recordBase(c.rel)
			}
		}
		if err := d.hide(ctx); err != nil {
			return nil, err
		}
	}
	if err := d.compare(ctx); err != nil {
		return nil, err
	}
	return d.result(ctx)
}

// Hidden is the number of changed files that git ignores and that the last
// Changes did not list, each bulk directory counted by what it holds.
func (s *Staging) Hidden() int {
	s.op.Lock()
	defer s.op.Unlock()
	return s.hidden
}

// DeniedMoves lists placeholders that no longer lie where they were put, as of
// the last Changes.
func (s *Staging) DeniedMoves() []DeniedMove {
	s.op.Lock()
	defer s.op.Unlock()
	return append([]DeniedMove(nil), s.moves...)
}

func (d *diffing) walk(ctx context.Context, rel string) error {
	var shut []string
	err := d.s.tree.walk(ctx, rel, d.visit, func(rel string, err error) {
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
		if err := d.s.tree.chmod(rel, 0o700); err != nil {
			return err
		}
		if err := d.walk(ctx, rel); err != nil {
			return err
		}
	}
	return errors.Join(err, d.fail)
}

func (d *diffing) visit(it item) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.s.places[it.rel] {
		return false
	}
	e := d.s.idx.m[it.rel]
	if at := d.masks[it.st.Ino]; at != "" && (e == nil || e.snap.ino != it.st.Ino) {
		if it.st.Size == 0 || it.format() == unix.S_IFDIR {
			d.moved[at] = it.rel
			d.seen[at] = true
			return false
		}
	}
	if d.s.meta.Backend == Overlay {
		if it.format() == unix.S_IFCHR && it.st.Rdev == 0 || it.format() == unix.S_IFDIR && d.s.tree.isOpaque(it.rel) {
			d.hidden0 = append(d.hidden0, it.rel)
		}
	}
	if it.format() == unix.S_IFDIR {
		return d.visitDir(it, e)
	}
	if it.format() != unix.S_IFREG && it.format() != unix.S_IFLNK {
		return false // a socket, a pipe: never part of a change
	}
	if e != nil && e.kind != kDir {
		d.seen[it.rel] = true
		if e.snap == stampOf(&it.st) {
			return false
		}
	}
	d.cand = append(d.cand, &candidate{item: it, at: d.s.tree, in: it.rel, ignored: d.underIgnored(it.rel, e)})
	return false
}

func (d *diffing) visitDir(it item, e *entry) bool {
	if e != nil {
		switch e.kind {
		case kDir, kVault:
			d.seen[it.rel] = true
			return e.kind == kDir
		case kBulk, kAttach:
			d.seen[it.rel] = true
			d.peek(it.rel)
			return false
		}
	}
	if d.judged[it.rel] || d.underIgnored(it.rel, nil) || path.Base(it.rel) == ".git" || insideGit(it.rel) {
		return true
	}
	d.unknown = append(d.unknown, it.rel)
	return false
}

// insideGit tells whether rel lies in a .git that was made inside: git has no
// word on what is ignored there.
func insideGit(rel string) bool { return strings.Contains("/"+rel, "/.git/") }

// underIgnored tells whether rel is ignored by the base, or lies in a directory
// that is.
func (d *diffing) underIgnored(rel string, e *entry) bool {
	if e != nil && e.kind != kDir {
		return e.flags&fIgnored != 0
	}
	for up := rel; up != ""; up = parent(up) {
		if u := d.s.idx.m[up]; u != nil && u.kind == kDir && u.flags&fIgnored != 0 {
			return true
		}
	}
	return false
}

// peek looks through an ignored directory by name only and lists what is denied
// or notable; the rest is counted.
func (d *diffing) peek(dir string) {
	var mu sync.Mutex
	at, start, prefix := d.s.tree, dir, ""
	if up := d.s.attached[dir]; up != nil {
		at, start, prefix = up, "", dir
	}
	at.walk(context.Background(), start, func(it item) bool {
		in := it.rel
		it.rel = path.Join(prefix, it.rel)
		_, denied := d.s.opts.Denied(it.rel)
		notable := denied || d.s.opts.Notable(it.rel)
		mu.Lock()
		defer mu.Unlock()
		e := d.s.idx.m[it.rel]
		if e != nil {
			d.seen[it.rel] = true
		}
		if it.format() == unix.S_IFDIR {
			return true
		}
		if notable && e == nil && d.masks[it.st.Ino] == "" && (it.format() == unix.S_IFREG || it.format() == unix.S_IFLNK) {
			d.cand = append(d.cand, &candidate{item: it, at: at, in: in, ignored: true})
		} else if e == nil {
			d.hidden++
		}
		return false
	}, nil)
}

// judge asks git about directories the base does not know, and goes into those
// it does not ignore, level by level.
func (d *diffing) judge(ctx context.Context) error {
	for len(d.unknown) > 0 {
		dirs := d.unknown
		d.unknown = nil
		asked := make([]string, len(dirs))
		for i, dir := range dirs {
			asked[i] = dir + "/"
		}
		ignored, err := d.s.checkIgnored(ctx, asked)
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			if ignored[dir+"/"] {
				d.peek(dir)
				continue
			}
			d.judged[dir] = true
			if err := d.walk(ctx, dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkIgnored asks the repository each path belongs to. Where git cannot tell,
// a path is not ignored: it is shown.
func (s *Staging) checkIgnored(ctx context.Context, paths []string) (map[string]bool, error) {
	if s.meta.Backend == Overlay { // the upper directory alone has not all ignore files
		return s.ignoredBy(ctx, s.opts.Project.Root, paths)
	}
	return s.ignoredBy(ctx, s.tree.path, paths)
}

// ignoredBy asks by the ignore files of a working tree at work.
func (s *Staging) ignoredBy(ctx context.Context, work string, paths []string) (map[string]bool, error) {
	p := s.opts.Project
	by := map[string][]string{}
	for _, rel := range paths {
		in := ""
		for _, n := range s.nested {
			if strings.HasPrefix(rel, n+"/") && len(n) > len(in) {
				in = n
			}
		}
		by[in] = append(by[in], strings.TrimPrefix(strings.TrimPrefix(rel, in), "/"))
	}
	got := map[string]bool{}
	for in, list := range by {
		r, ok := gitview.Repo{}, false
		if in == "" {
			r, ok = p.Repo, p.Git
		} else {
			r, ok = p.RepoAt(in)
		}
		if !ok {
			continue
		}
		ig, err := p.CheckIgnored(ctx, r, path.Join(work, in), list)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			continue
		}
		for rel := range ig {
			got[joinKeep(in, rel)] = true
		}
	}
	return got, nil
}

// joinKeep joins and keeps a slash at the end.
func joinKeep(dir, rel string) string {
	if dir == "" {
		return rel
	}
	return dir + "/" + rel
}

func (d *diffing) markIgnored(ctx context.Context) error {
	var ask []string
	for _, c := range d.cand {
		if !c.ignored && d.s.idx.m[c.rel] == nil && !insideGit(c.rel) {
			ask = append(ask, c.rel)
		}
	}
	ignored, err := d.s.checkIgnored(ctx, ask)
	for _, c := range d.cand {
		c.ignored = c.ignored || ignored[c.rel]
	}
	return err
}

// compare reads what stat says differs.
func (d *diffing) compare(ctx context.Context) error {
	return parallel(ctx, len(d.cand), func(i int) error {
		c := d.cand[i]
		sum, err := c.at.sumOf(c.in, c.st.Mode)
		if errors.Is(err, unix.EACCES) && c.at.chmod(c.in, c.st.Mode&0o777|0o400) == nil {
			sum, err = c.at.sumOf(c.in, c.st.Mode)
		}
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EINVAL) {
			c.gone = true // changed since the walk; the next look tells
			return nil
		}
		if err != nil {
			return &countersign.Error{Code: countersign.EInvalid, Op: "read the staged", Thing: c.rel, Err: err, Remedy: "give it read permission inside the session"}
		}
		c.sum = sum
		e := d.s.idx.m[c.rel]
		c.same = e != nil && (e.kind == kFile || e.kind == kLink) && e.sum == sum && gitMode(e.mode) == gitMode(c.st.Mode)
		if c.same {
			if st, err := d.s.tree.lstat(c.rel); err == nil && stampOf(&st) == stampOf(&c.st) {
				d.mu.Lock()
				e.snap = stampOf(&c.st)
				d.s.dirty = true
				d.mu.Unlock()
			}
		}
		return nil
	})
}

func (d *diffing) result(ctx context.Context) ([]tree.Change, error) {
	var list []tree.Change
	for _, c := range d.cand {
		if c.same {
			continue
		}
		e := d.s.idx.m[c.rel]
		if c.gone {
			if e == nil {
				continue
			}
			delete(d.seen, c.rel)
			continue
		}
		if e != nil && !c.ignored {
			d.s.saveBase(c.rel, e)
		}
		list = append(list, tree.Change{Path: c.rel, Base: d.s.baseState(c.rel, e), Staged: d.s.stagedState(c), Ignored: c.ignored})
	}
	d.s.moves = nil
	for rel, e := range d.s.idx.m {
		switch {
		case d.moved[rel] != "":
			d.s.moves = append(d.s.moves, DeniedMove{rel, d.moved[rel]})
		case d.seen[rel]:
		case e.kind == kFile || e.kind == kLink:
			d.s.saveBase(rel, e)
			list = append(list, tree.Change{Path: rel, Base: d.s.baseState(rel, e), Ignored: e.flags&fIgnored != 0})
		case e.kind == kDenied || e.kind == kVault:
			d.s.moves = append(d.s.moves, DeniedMove{From: rel})
		}
	}
	sort.Slice(d.s.moves, func(i, j int) bool { return d.s.moves[i].From < d.s.moves[j].From })
	list = findRenames(list)
	sort.Slice(list, func(i, j int) bool { return list[i].Path < list[j].Path })
	d.s.hidden, d.s.meta.Changes = d.hidden, len(list)
	return list, d.s.markCommits(ctx, list)
}

// findRenames joins a deleted and a created file of the same bytes. Of several,
// the one of the same name is taken, then the first.
func findRenames(list []tree.Change) []tree.Change {
	gone := map[string][]int{}
	for i, c := range list {
		if c.Staged == nil && c.Base.Size > 0 {
			k := c.Base.SHA256 + modeKind(c.Base.Mode)
			gone[k] = append(gone[k], i)
		}
	}
	used := map[int]bool{}
	sort.SliceStable(list, func(i, j int) bool { return false })
	for _, sameName := range []bool{true, false} {
		for i := range list {
			c := &list[i]
			if c.Base != nil || c.Staged == nil || c.RenamedFrom != "" || c.Ignored {
				continue
			}
			for _, j := range gone[c.Staged.SHA256+modeKind(c.Staged.Mode)] {
				if used[j] || list[j].Ignored || sameName && path.Base(list[j].Path) != path.Base(c.Path) {
					continue
				}
				used[j] = true
				c.RenamedFrom, c.Base = list[j].Path, list[j].Base
				break
			}
		}
	}
	out := list[:0]
	for i, c := range list {
		if !used[i] {
			out = append(out, c)
		}
	}
	return out
}

func modeKind(mode uint32) string {
	if mode == 0o120000 {
		return "l"
	}
	return "f"
}

func (s *Staging) stagedState(c *candidate) *tree.State {
	at, in, mode := c.at, c.in, c.st.Mode
	return &tree.State{Mode: gitMode(mode), Size: c.st.Size, SHA256: hex.EncodeToString(c.sum[:]), Open: func() (io.ReadCloser, error) { return openAt(at, in, mode) }}
}

// baseState describes the base of rel; nil if it did not exist.
func (s *Staging) baseState(rel string, e *entry) *tree.State {
	if e == nil || e.kind == kDir || e.kind == kBulk || e.kind == kAttach {
		return nil
	}
	st := &tree.State{Mode: gitMode(e.mode), Size: e.real.size, SHA256: hex.EncodeToString(e.sum[:])}
	st.Open = func() (io.ReadCloser, error) {
		b, err := s.BaseBytes(rel)
		return io.NopCloser(bytes.NewReader(b)), err
	}
	return st
}

// openAt opens a file, or a link's target as text.
func openAt(r *root, rel string, mode uint32) (io.ReadCloser, error) {
	if mode&unix.S_IFMT == unix.S_IFLNK {
		to, err := r.readlink(rel)
		return io.NopCloser(strings.NewReader(to)), err
	}
	f, _, err := r.openRegular(rel)
	if err != nil {
		return nil, err
	}
	return f, nil
}
