package apply

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"sort"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/diff"
	"github.com/countersign/countersign/workspace/store"
	"github.com/countersign/countersign/workspace/tree"
)

// group is the hunks that make one file, from one path of the base.
type group struct {
	from, to string
	hunks    []countersign.Hunk
	stale    string // why, once it is known
	merged   bool
	pre      *version // of from, as earlier groups leave it
	post     *version // of to; nil: it goes
	body     body
}

// plan is what an apply would do, before anything is written to the tree.
type plan struct {
	root   *tree.Root
	store  *store.Store // reviewed bytes
	images *store.Store // pre-images
	forced map[string]bool
	groups []*group            // of one step
	done   []*group            // of the steps before, without what is stale
	real   map[string]*version // what the tree has, by path
	cur    map[string]*version // what it has after the steps before
	bodies map[string]body     // of what they make, by SHA-256
	odd    map[string]string   // paths that cannot be written, and why
	stale  []countersign.Hunk
	held   int64

	moves   []moved            // of denied files
	leaving map[string]bool    // the paths that these leave
	staying []countersign.Hunk // those that cannot go
}

// body is where the bytes of a version come from.
type body struct {
	data  []byte
	store *store.Store
	sum   string
}

func (b body) open() (io.ReadCloser, error) {
	if b.store != nil {
		return b.store.Open(b.sum)
	}
	return store.Check(io.NopCloser(bytes.NewReader(b.data)), b.sum), nil
}

func (b body) bytes() ([]byte, error) {
	r, err := b.open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// maxHeld is how many composed bytes wait in memory; more go to the store.
const maxHeld = 64 << 20

// makePlan reads the tree, puts a copy of all it would change into the store of
// pre-images, and decides what is stale. forced names paths that kept changing
// under earlier attempts. The hunks of each step are applied to what those of the
// steps before make of the tree.
func (p *plan) makePlan(hs []countersign.Hunk) error {
	hs, err := p.takeMoves(hs)
	if err != nil {
		return err
	}
	steps := map[int][]countersign.Hunk{}
	for _, h := range hs {
		if decided(h) {
			steps[h.Step] = append(steps[h.Step], h)
		}
	}
	for again := true; again; again = p.dropBlocked() { // what does not move makes no room either
		p.real, p.cur, p.odd, p.bodies = map[string]*version{}, map[string]*version{}, map[string]string{}, map[string]body{}
		p.groups, p.done, p.stale, p.held = nil, nil, nil, 0
		for _, n := range slices.Sorted(maps.Keys(steps)) {
			if err := p.step(steps[n]); err != nil {
				return err
			}
		}
	}
	p.stale = append(p.stale, p.staying...)
	return nil
}

// step plans the hunks of one step.
func (p *plan) step(hs []countersign.Hunk) error {
	if err := p.collect(hs); err != nil {
		return err
	}
	for _, g := range p.groups {
		for _, n := range []string{g.from, g.to} {
			if err := p.read(n); err != nil {
				return err
			}
		}
	}
	for _, g := range p.groups {
		g.pre = p.cur[g.from]
		if err := p.compose(g); err != nil {
			return err
		}
	}
	// What one group leaves makes room for another; a stale one leaves nothing.
	for again := true; again; {
		again = false
		gone := p.vacated()
		above := p.above(gone)
		for _, g := range p.groups {
			if g.stale == "" {
				if g.stale = p.blocked(g, gone, above); g.stale != "" {
					again = true
				}
			}
		}
	}
	for _, g := range p.groups {
		if g.stale != "" {
			p.setAside(g.hunks, g.stale)
		}
	}
	p.settle()
	return nil
}

// settle makes what the groups of this step leave what the next one finds.
func (p *plan) settle() {
	next := map[string]*version{}
	for _, g := range p.groups {
		if g.stale != "" {
			continue
		}
		p.done = append(p.done, g)
		if _, ok := next[g.from]; !ok && (g.post == nil || g.from != g.to) {
			next[g.from] = nil
		}
		if g.post != nil {
			next[g.to] = g.post
			p.bodies[g.post.Sum] = g.body
		}
	}
	maps.Copy(p.cur, next)
}

func (p *plan) setAside(hs []countersign.Hunk, why string) {
	for _, h := range hs {
		h.State, h.Why = countersign.Stale, why
		p.stale = append(p.stale, h)
	}
}

// collect groups hunks by file and refuses any whose bytes are not those its
// digest names.
func (p *plan) collect(hs []countersign.Hunk) error {
	p.groups = nil
	renames := map[string]*group{}
	by := map[string]*group{}
	get := func(key, from, to string) *group {
		g := by[key]
		if g == nil {
			g = &group{from: from, to: to}
			by[key] = g
			p.groups = append(p.groups, g)
		}
		return g
	}
	for _, h := range hs {
		if h.Op == countersign.OpRename {
			g := get("from\x00"+h.OldPath, h.OldPath, h.Path)
			renames[h.OldPath] = g
		}
	}
	for _, h := range hs {
		if diff.Digest(h) != h.Digest {
			return &countersign.Error{Code: countersign.EVerify, Op: "apply hunk", Thing: h.ID, Err: store.ErrBytes, Remedy: "review it again"}
		}
		if tree.Check(h.Path) != nil || h.OldPath != "" && tree.Check(h.OldPath) != nil {
			return &countersign.Error{Code: countersign.EDenied, Op: "apply hunk", Thing: h.Path, Err: tree.ErrRefused}
		}
		from := h.Path
		if h.OldPath != "" {
			from = h.OldPath
		}
		g := renames[from]
		if g == nil || h.Op == countersign.OpCreate {
			g = get(from, from, from)
		}
		g.hunks = append(g.hunks, h)
	}
	sort.Slice(p.groups, func(i, j int) bool { return p.groups[i].to < p.groups[j].to })
	return nil
}

// read looks at a path of the real tree and keeps a copy of its content.
func (p *plan) read(n string) error {
	if _, ok := p.real[n]; ok || p.odd[n] != "" {
		return nil
	}
	if p.leaving[n] { // it is not there then, and is not read now
		p.real[n], p.cur[n] = nil, nil
		return nil
	}
	v, err := p.version(n)
	if err == nil && p.odd[n] == "" {
		p.real[n], p.cur[n] = v, v
	}
	return err
}

// version reads a path; nil if nothing is there that a file would be in the way of.
func (p *plan) version(n string) (*version, error) {
	info, err := p.root.Lstat(n)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, tree.ErrRefused):
		p.odd[n] = "a directory on the way to it is a symlink"
		return nil, nil
	case isNotDir(err):
		return nil, nil // a file stands where its directory should be: see blocked
	case err != nil:
		return nil, err
	}
	v := &version{Size: info.Size, Mode: info.GitMode() & 0o170777, Perm: uint32(info.Mode.Perm()), UID: info.UID, GID: info.GID}
	switch {
	case info.Mode.IsDir():
		return nil, nil // maybe in the way: see blocked
	case info.Mode&fs.ModeSymlink != 0:
		t, err := p.root.Readlink(n)
		if err != nil {
			return nil, drift(n, err)
		}
		v.Sum, err = p.images.PutBytes([]byte(t))
		v.Size = int64(len(t))
		if err != nil {
			return nil, err
		}
	case info.Mode.IsRegular():
		f, err := p.root.Open(n)
		if err != nil {
			return nil, drift(n, err)
		}
		defer f.Close()
		if v.Sum, v.Size, err = p.image(f); err != nil {
			return nil, err
		}
	default:
		p.odd[n] = "it is neither a file nor a symlink"
	}
	return v, nil
}

// compose decides what a group makes of its file, or that it is stale.
func (p *plan) compose(g *group) error {
	for _, n := range []string{g.from, g.to} {
		if why := p.gits(n); why != "" {
			g.stale = why
		} else if p.odd[n] != "" {
			g.stale = p.odd[n]
		} else if p.forced[n] {
			g.stale = "it kept changing while it was to be written"
		}
	}
	if g.stale != "" {
		return nil
	}
	cur := p.cur[g.from]
	var lines []countersign.Hunk
	mode := uint32(0)
	for _, h := range g.hunks {
		switch h.Op {
		case countersign.OpModify:
			lines = append(lines, h)
		case countersign.OpMode:
			mode = h.NewMode
		case countersign.OpRename:
			g.merged = g.merged || cur != nil && cur.Sum != h.Base
		case countersign.OpCreate, countersign.OpDelete, countersign.OpBinary, countersign.OpSymlink:
			p.whole(g, h, cur)
			if mode != 0 && g.post != nil {
				g.post.Mode = mode
			}
			return nil
		default:
			return &countersign.Error{Code: countersign.EInvalid, Op: "apply hunk", Thing: h.ID, Err: fmt.Errorf("op %q", h.Op)}
		}
	}
	old := g.hunks[0].OldMode
	switch {
	case cur == nil:
		g.stale = "the file is gone"
		return nil
	case tree.IsSymlink(cur.Mode) != tree.IsSymlink(old):
		g.stale = "it is another kind of file now"
		return nil
	}
	post := *cur
	g.post, g.body = &post, p.body(cur.Sum)
	if mode != 0 {
		g.post.Mode = mode
	}
	if len(lines) == 0 {
		return nil
	}
	return p.lines(g, lines, cur)
}

// gits refuses what belongs to a repository that is there: its directory is
// git's alone, and a review of its bytes says nothing of what they would start.
func (p *plan) gits(n string) string {
	for d := n; d != "."; d = path.Dir(d) {
		if tree.GitName(path.Base(d)) {
			if _, err := p.root.Lstat(d); err == nil {
				return "it belongs to a git repository that is there: git's own directory is never written"
			}
		}
	}
	return ""
}

// whole handles the hunks that replace everything.
func (p *plan) whole(g *group, h countersign.Hunk, cur *version) {
	if h.Op != countersign.OpDelete {
		g.post = &version{Sum: h.PostSum, Size: h.PostLen, Mode: h.NewMode & 0o170777, UID: -1, GID: -1}
		if h.NewMode == 0 {
			g.post.Mode = tree.ModeFile
		}
		g.body = body{store: p.store, sum: h.PostSum}
		if h.PostLen == 0 {
			g.body = body{sum: h.PostSum}
		}
		if cur != nil && !tree.IsSymlink(g.post.Mode) && !tree.IsSymlink(cur.Mode) {
			g.post.Perm, g.post.UID, g.post.GID = cur.Perm, cur.UID, cur.GID
		}
	}
	switch {
	case cur.same(g.post): // somebody did the same already
	case cur == nil && h.Base == "":
	case cur == nil:
		g.stale = "the file is gone"
	case h.Base == "":
		g.stale = "a file of that name is there now"
	case cur.Sum != h.Base || tree.IsSymlink(cur.Mode) != tree.IsSymlink(h.OldMode):
		g.stale = "the file was changed meanwhile"
	}
}

// lines applies changes of lines: to the base if the file still is that, else
// by a three-way merge. A hunk that does not merge is set aside alone.
func (p *plan) lines(g *group, hs []countersign.Hunk, cur *version) error {
	for i := range hs {
		if err := p.fill(&hs[i]); err != nil {
			return err
		}
	}
	ours, err := p.body(cur.Sum).bytes()
	if err != nil {
		return err
	}
	base := hs[0].Base
	var out []byte
	if cur.Sum == base && sameBase(hs) {
		if out, err = diff.Apply(ours, hs); err != nil {
			return err
		}
	} else {
		var keep []countersign.Hunk
		if out, keep, err = p.merge(ours, hs); err != nil {
			return err
		}
		p.drop(g, hs, keep)
		g.merged = true
		if len(g.hunks) == 0 {
			g.post, g.stale = nil, "none is left"
			return nil
		}
	}
	g.post.Sum, g.post.Size = diff.SHA256(out), int64(len(out))
	g.body = body{data: out, sum: g.post.Sum}
	if p.held += int64(len(out)); p.held > maxHeld {
		if _, err := p.images.PutBytes(out); err != nil {
			return err
		}
		g.body = body{store: p.images, sum: g.post.Sum}
	}
	return nil
}

func sameBase(hs []countersign.Hunk) bool {
	for _, h := range hs {
		if h.Base != hs[0].Base {
			return false
		}
	}
	return true
}

// merge carries hunks into what a person made of the file: each that merges
// cleanly with all before it.
func (p *plan) merge(ours []byte, hs []countersign.Hunk) (out []byte, keep []countersign.Hunk, err error) {
	base, err := p.store.Bytes(hs[0].Base)
	if err != nil || bytes.IndexByte(ours[:min(len(ours), 8000)], 0) >= 0 {
		return ours, nil, nil // without the base there is nothing to merge with
	}
	out = ours
	for _, h := range hs {
		if h.Base != hs[0].Base {
			continue
		}
		theirs, err := diff.Apply(base, append(keep[:len(keep):len(keep)], h))
		if err != nil {
			return nil, nil, err
		}
		if m, conflicts := diff.Merge3(base, ours, theirs); len(conflicts) == 0 {
			out, keep = m, append(keep, h)
		}
	}
	return out, keep, nil
}

// drop sets aside the hunks of lines that are not among keep.
func (p *plan) drop(g *group, lines, keep []countersign.Hunk) {
	kept := map[string]bool{}
	for _, h := range keep {
		kept[h.Digest] = true
	}
	gone := map[string]bool{}
	for _, h := range lines {
		if !kept[h.Digest] {
			gone[h.Digest] = true
			p.setAside([]countersign.Hunk{h}, "the file was changed in the same place")
		}
	}
	var left []countersign.Hunk
	for _, h := range g.hunks {
		if !gone[h.Digest] {
			left = append(left, h)
		}
	}
	g.hunks = left
}

func (p *plan) fill(h *countersign.Hunk) (err error) {
	if h.Pre == nil && h.PreLen > 0 {
		if h.Pre, err = p.store.Bytes(h.PreSum); err != nil {
			return err
		}
	}
	if h.Post == nil && h.PostLen > 0 {
		h.Post, err = p.store.Bytes(h.PostSum)
	}
	return err
}

// body is where the content of what a path is now comes from.
func (p *plan) body(sum string) body {
	if b, ok := p.bodies[sum]; ok {
		return b
	}
	return body{store: p.images, sum: sum}
}

func decided(h countersign.Hunk) bool {
	return h.State == countersign.Accepted || h.State == countersign.Edited
}
