package review

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/diff"
	"github.com/countersign/countersign/workspace/store"
	"github.com/countersign/countersign/workspace/tree"
)

// Bounds on what is held in memory. What is larger is read when it is shown.
const (
	maxText   = 8 << 20  // a larger file is one hunk, as a binary is
	maxLines  = 400_000  // and so is one of more lines
	maxInline = 64 << 10 // of one image of a hunk
	maxTotal  = 32 << 20 // of all images
	sniff     = 8000     // a NUL within makes a file binary, as in git
)

// builder makes hunks of file-level changes.
type builder struct {
	store   *store.Store
	cache   map[string]cached
	next    map[string]cached
	sources map[string]source
	risk    func(string) (countersign.Risk, string)
	passes  []pass
	held    int64
	raced   bool // the layer changed between its listing and the reading of this path
}

// cached is what one path of one pass gave, and from what.
type cached struct {
	key   string
	hunks []countersign.Hunk
}

func (b *builder) build() ([]countersign.Hunk, error) {
	var out []countersign.Hunk
	for n := range b.passes {
		p := &b.passes[n]
		p.list = pairRenames(p.list)
		for _, c := range p.list {
			hs, err := b.change(p.commit, c)
			if err != nil {
				return nil, err
			}
			for _, h := range hs {
				h.Step = n
				out = append(out, h)
			}
		}
	}
	markRisk(out, b.risk)
	return out, nil
}

// change makes the hunks of one change, or takes those made of the same versions
// before.
func (b *builder) change(commit string, c tree.Change) ([]countersign.Hunk, error) {
	b.source(c.Base)
	b.source(c.Staged)
	b.raced = false
	at, k := commit+" "+c.Path, versionKey(c)
	e, ok := b.cache[at]
	if !ok || e.key != k {
		hs, err := b.hunks(c)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil // it went away since it was listed: the next update says what became of it
		}
		if err != nil {
			return nil, &countersign.Error{Code: countersign.EInternal, Op: "read the change of", Thing: c.Path, Err: err}
		}
		e = cached{k, hs}
	}
	if !b.raced {
		b.next[at] = e
	}
	return e.hunks, nil
}

func versionKey(c tree.Change) string {
	v := func(s *tree.State) string {
		if s == nil {
			return "-"
		}
		return fmt.Sprintf("%o %s", s.Mode, s.SHA256)
	}
	return fmt.Sprintf("%q %s %s %s", c.RenamedFrom, v(c.Base), v(c.Staged), c.Commit)
}

// source remembers where the bytes of a version can be read again.
func (b *builder) source(s *tree.State) {
	if s == nil || s.Open == nil {
		return
	}
	b.sources[s.SHA256] = func() (*store.Checked, error) {
		r, err := s.Open()
		if err != nil {
			return nil, err
		}
		return store.Check(r, s.SHA256), nil
	}
}

// content is one version as far as it had to be read.
type content struct {
	data  []byte // nil beyond maxText
	sum   string
	size  int64
	lines int
	text  bool
}

// read is read, and notes whether what was listed was read.
func (b *builder) read(s *tree.State) (content, error) {
	c, err := read(s)
	if s != nil && c.sum != s.SHA256 {
		b.raced = true
	}
	return c, err
}

// read takes one version in one pass: hash and bytes belong together whatever
// the layer does meanwhile.
func read(s *tree.State) (content, error) {
	if s == nil {
		return content{sum: diff.SHA256(nil), text: true}, nil
	}
	r, err := s.Open()
	if err != nil {
		return content{}, err
	}
	defer r.Close()
	h := sha256.New()
	data, err := io.ReadAll(io.TeeReader(io.LimitReader(r, maxText+1), h))
	if err != nil {
		return content{}, err
	}
	c := content{data: data, size: int64(len(data)), text: bytes.IndexByte(data[:min(len(data), sniff)], 0) < 0}
	if len(data) > maxText {
		n, err := io.Copy(h, r)
		if err != nil {
			return content{}, err
		}
		c.size += n
		c.data, c.text = nil, false
	}
	c.sum = hex.EncodeToString(h.Sum(nil))
	if c.text {
		c.lines = bytes.Count(data, []byte{'\n'})
		if n := len(data); n > 0 && data[n-1] != '\n' {
			c.lines++
		}
		if c.lines > maxLines {
			c.data, c.text, c.lines = nil, false, 0
		}
	}
	return c, nil
}

// hunks makes the hunks of one path.
func (b *builder) hunks(c tree.Change) ([]countersign.Hunk, error) {
	var out []countersign.Hunk
	h := countersign.Hunk{Path: c.Path, OldPath: c.RenamedFrom, Commit: c.Commit, State: countersign.Undecided}
	if c.Aside != nil {
		h.Branch = c.Aside.Ref
	}
	if c.Base != nil {
		h.Base, h.OldMode = c.Base.SHA256, c.Base.Mode
	}
	if c.Staged != nil {
		h.NewMode = c.Staged.Mode
	}
	if c.Unread() {
		h.Op = countersign.OpRename
		return append(out, named(h)), nil
	}
	if c.Base == nil || c.Staged == nil || tree.IsSymlink(h.OldMode) || tree.IsSymlink(h.NewMode) {
		return b.whole(h, c)
	}
	if c.RenamedFrom != "" {
		m := h
		m.Op, m.NewMode = countersign.OpRename, h.OldMode
		out = append(out, named(m))
	}
	if h.OldMode != h.NewMode {
		m := h
		m.Op = countersign.OpMode
		out = append(out, named(m))
	}
	h.NewMode = h.OldMode // a change of mode is a hunk of its own
	if c.Base.SHA256 == c.Staged.SHA256 {
		return out, nil
	}
	old, err := b.read(c.Base)
	if err != nil {
		return nil, err
	}
	new, err := b.read(c.Staged)
	if err != nil {
		return nil, err
	}
	h.Base = old.sum
	if !old.text || !new.text {
		h.Op = countersign.OpBinary
		return append(out, b.images(h, old, new)), nil
	}
	for _, l := range diff.Hunks(old.data, new.data) {
		l.Path, l.OldPath, l.Commit, l.Branch, l.State = h.Path, h.OldPath, h.Commit, h.Branch, h.State
		l.Base, l.OldMode, l.NewMode = h.Base, h.OldMode, h.NewMode
		l = named(l)
		out = append(out, b.trim(l))
	}
	return out, nil
}

// whole makes the one hunk of a file or symlink that comes, goes or changes its
// kind.
func (b *builder) whole(h countersign.Hunk, c tree.Change) ([]countersign.Hunk, error) {
	switch {
	case c.Staged == nil:
		h.Op = countersign.OpDelete
	case tree.IsSymlink(h.OldMode) || tree.IsSymlink(h.NewMode):
		h.Op = countersign.OpSymlink
	default:
		h.Op = countersign.OpCreate
	}
	old, err := b.read(c.Base)
	if err != nil {
		return nil, err
	}
	new, err := b.read(c.Staged)
	if err != nil {
		return nil, err
	}
	if c.Base != nil {
		h.Base = old.sum
	}
	var out []countersign.Hunk
	if c.RenamedFrom != "" {
		m := h
		m.Op, m.NewMode = countersign.OpRename, h.OldMode
		out = append(out, named(m))
		if old.sum == new.sum && h.OldMode == h.NewMode {
			return out, nil
		}
	}
	if h.Op != countersign.OpSymlink && !tree.IsSymlink(h.OldMode) {
		if old.lines > 0 {
			h.OldStart, h.OldLines = 1, old.lines
		}
		if new.lines > 0 {
			h.NewStart, h.NewLines = 1, new.lines
		}
	}
	return append(out, b.images(h, old, new)), nil
}

// images gives a hunk the whole old and new content.
func (b *builder) images(h countersign.Hunk, old, new content) countersign.Hunk {
	h.Pre, h.PreSum, h.PreLen = old.data, old.sum, old.size
	h.Post, h.PostSum, h.PostLen = new.data, new.sum, new.size
	h.Digest = diff.Digest(h)
	if !old.text {
		h.Pre = nil
	}
	if !new.text {
		h.Post = nil
	}
	return b.trim(h)
}

func named(h countersign.Hunk) countersign.Hunk {
	h = diff.Sum(h)
	h.Digest = diff.Digest(h)
	return h
}

// trim lets go of large images. Those of a whole file can be read again; a run
// of lines of that size goes to the store at once.
func (b *builder) trim(h countersign.Hunk) countersign.Hunk {
	h.Pre, h.Post = b.hold(h, h.Pre), b.hold(h, h.Post)
	return h
}

func (b *builder) hold(h countersign.Hunk, img []byte) []byte {
	n := int64(len(img))
	if n <= maxInline && b.held+n <= maxTotal {
		b.held += n
		return bytes.Clone(img) // not a slice of the whole file
	}
	if h.Op == countersign.OpModify {
		if _, err := b.store.PutBytes(img); err != nil {
			return bytes.Clone(img) // no room on the disk: then in memory
		}
	}
	return nil
}

func sortHunks(hs []countersign.Hunk) {
	rank := map[countersign.Op]int{countersign.OpRename: 0, countersign.OpMode: 1}
	order := func(o countersign.Op) int {
		if n, ok := rank[o]; ok {
			return n
		}
		return 2
	}
	slices.SortStableFunc(hs, func(a, b countersign.Hunk) int {
		return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(a.Path, b.Path), cmp.Compare(order(a.Op), order(b.Op)), cmp.Compare(a.OldStart, b.OldStart), cmp.Compare(a.Part, b.Part), cmp.Compare(a.Digest, b.Digest))
	})
}
