package apply

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/diff"
	"github.com/countersign/countersign/workspace/store"
	"github.com/countersign/countersign/workspace/tree"
)

// Move is a denied file or directory that changed its place and was not read.
type Move struct {
	Path, OldPath string
	Hunk          string // its digest
}

// moved is one such step of a journal. The inode itself is renamed, in one step:
// at no moment is there a copy of it, or another name.
type moved struct {
	From  Name   `json:"from"`
	To    Name   `json:"to"`
	Inode string `json:"inode"` // as the hunk binds it: countersign.UnreadBase
	Hunk  string `json:"hunk"`

	hunk countersign.Hunk
}

// takeMoves takes the moves of denied files out of the hunks, in an order in which
// one may go where another was, and sets aside what cannot go.
func (p *plan) takeMoves(hs []countersign.Hunk) (rest []countersign.Hunk, err error) {
	p.leaving = map[string]bool{}
	var open []moved
	for _, h := range hs {
		switch {
		case !h.Unread():
			rest = append(rest, h)
		case decided(h):
			if err := checkMove(h); err != nil {
				return nil, err
			}
			m := moved{From: Name(h.OldPath), To: Name(h.Path), Inode: h.Base, Hunk: h.Digest, hunk: h}
			if why := p.unmovable(m); why != "" {
				p.stay(m, why)
			} else {
				open = append(open, m)
			}
		}
	}
	for again := true; again; {
		again = false
		var later []moved
		for _, m := range open {
			if _, err := p.root.Lstat(string(m.To)); p.leaving[string(m.To)] || err != nil { // see noRoom
				p.moves, p.leaving[string(m.From)], again = append(p.moves, m), true, true
			} else {
				later = append(later, m)
			}
		}
		open = later
	}
	for _, m := range open {
		p.stay(m, "something lies at its new place")
	}
	return rest, nil
}

func checkMove(h countersign.Hunk) error {
	switch {
	case diff.Digest(h) != h.Digest:
		return &countersign.Error{Code: countersign.EVerify, Op: "apply hunk", Thing: h.ID, Err: store.ErrBytes, Remedy: "review it again"}
	case h.Op != countersign.OpRename, tree.Check(h.Path) != nil, tree.Check(h.OldPath) != nil, path.Base(h.Path) != path.Base(h.OldPath):
		return &countersign.Error{Code: countersign.EDenied, Op: "apply hunk", Thing: h.Path, Err: tree.ErrRefused}
	}
	return nil
}

func (p *plan) stay(m moved, why string) {
	h := m.hunk
	h.State, h.Why = countersign.Stale, why
	p.staying = append(p.staying, h)
}

// unmovable says why what lies at the old place cannot go, or "".
func (p *plan) unmovable(m moved) string {
	from, to := string(m.From), string(m.To)
	for _, n := range []string{from, to} {
		if why := p.gits(n); why != "" {
			return why
		}
		if p.forced[n] {
			return "it kept changing while it was to be moved"
		}
	}
	at, err := p.root.Inode(from)
	switch {
	case errors.Is(err, tree.ErrRefused):
		return "a directory on the way to it is a symlink"
	case errors.Is(err, errors.ErrUnsupported):
		return "this system cannot tell one file from another without reading it"
	case err != nil:
		return "it is gone"
	case at != m.Inode:
		return "another file of that name is there now"
	}
	info, err := p.root.Lstat(from)
	if _, _, near := nearest(p.root, to); err != nil || info.Dev != near.Dev {
		return "its new place is on another file system"
	}
	return ""
}

// dropBlocked sets aside the moves to places that the files of the plan leave no
// room at, and tells whether there were any.
func (p *plan) dropBlocked() (some bool) {
	gone := p.vacated()
	var keep []moved
	for _, m := range p.moves {
		if why := p.noRoom(string(m.To), gone); why != "" {
			p.stay(m, why)
			delete(p.leaving, string(m.From))
			some = true
		} else {
			keep = append(keep, m)
		}
	}
	p.moves = keep
	return some
}

func (p *plan) noRoom(to string, gone map[string]bool) string {
	for n, v := range p.cur {
		if v != nil && (n == to || strings.HasPrefix(n, to+"/")) {
			return "something lies at its new place"
		}
	}
	for d := path.Dir(to); d != "."; d = path.Dir(d) {
		info, err := p.root.Lstat(d)
		switch {
		case errors.Is(err, tree.ErrRefused), err == nil && info.Mode&fs.ModeSymlink != 0 && !gone[d]:
			return "a directory on the way to it is a symlink"
		case p.cur[d] != nil, err == nil && !info.Mode.IsDir() && !gone[d]:
			return "a file stands where its directory should be"
		}
	}
	return ""
}

// movesOf is what the moves of a journal are to whoever asked for them.
func movesOf(all []moved) (out []Move) {
	for _, m := range all {
		out = append(out, Move{Path: string(m.To), OldPath: string(m.From), Hunk: m.Hunk})
	}
	return out
}

// moves moves the denied files: what lies there is compared before and after, and
// goes back if it was replaced at that very moment.
func (e *engine) moves() error {
	for _, m := range e.j.Moves {
		if err := e.step(StepMove); err != nil {
			return err
		}
		from, to := string(m.From), string(m.To)
		if !e.is(from, m) {
			return &driftError{path: from, err: store.ErrBytes}
		}
		if err := moveNew(e.root, from, to); err != nil {
			return drift(to, err)
		}
		if !e.is(to, m) {
			_ = moveNew(e.root, to, from)
			return &driftError{path: from, err: store.ErrBytes}
		}
	}
	return nil
}

// is tells whether what lies at a path is what is to be moved.
func (e *engine) is(p string, m moved) bool {
	at, err := e.root.Inode(p)
	return err == nil && at == m.Inode
}

// moveBack undoes one move, whether or not it had been done. kept is set where a
// person has put something else in the place meanwhile.
func (e *engine) moveBack(m moved) (kept bool, err error) {
	from, to := string(m.From), string(m.To)
	switch {
	case e.is(from, m):
		return false, nil
	case !e.is(to, m):
		return true, nil // replaced, or removed: whose name it bears is the person's to say
	}
	if _, err := e.root.MkdirAll(path.Dir(from)); err != nil {
		return true, nil //nolint:nilerr // something else stands there now: it stays
	}
	if err := moveNew(e.root, to, from); errors.Is(err, fs.ErrExist) {
		return true, nil
	} else if err != nil {
		return false, err
	}
	return false, nil
}

// keepClosed gives the directories that are made for a denied file the permission
// bits of those it leaves: what others could not reach stays so.
func (j *journal) keepClosed(r *tree.Root) {
	at := map[Name]*dir{}
	for i := range j.Made {
		at[j.Made[i].Path] = &j.Made[i]
	}
	for _, m := range j.Moves {
		from, to := path.Dir(string(m.From)), path.Dir(string(m.To))
		for ; from != "." && to != "."; from, to = path.Dir(from), path.Dir(to) {
			if info, err := r.Lstat(from); err == nil && info.Mode.IsDir() && at[Name(to)] != nil {
				at[Name(to)].Perm = uint32(info.Mode.Perm())
			}
		}
	}
}

// reverseMoves are the moves of an undo, and those whose file is another by now,
// or whose old place is taken. emptied are the paths that the undo empties.
func (j *job) reverseMoves(last *journal, emptied map[string]bool) (back []moved, changed []string) {
	e := &engine{root: j.root}
	for i := len(last.Moves) - 1; i >= 0; i-- {
		m := last.Moves[i]
		_, err := j.root.Lstat(string(m.From))
		free := emptied[string(m.From)] || errors.Is(err, fs.ErrNotExist) || isNotDir(err)
		if !free || !e.is(string(m.To), m) {
			changed = append(changed, string(m.To))
			continue
		}
		emptied[string(m.To)] = true
		back = append(back, moved{From: m.To, To: m.From, Inode: m.Inode, Hunk: m.Hunk})
	}
	return back, changed
}
