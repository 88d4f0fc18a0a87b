package apply

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strings"
	"syscall"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/workspace/store"
	"github.com/countersign/countersign/workspace/tree"
)

// driftError says that a path changed between two looks: the plan is void.
type driftError struct {
	path string
	err  error
}

func (e *driftError) Error() string { return fmt.Sprintf("%s changed while it was applied", e.path) }
func (e *driftError) Unwrap() error { return e.err }

// drift calls an error drift if another writer can be its cause.
func drift(p string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) || errors.Is(err, tree.ErrKind) || errors.Is(err, tree.ErrRefused) ||
		errors.Is(err, store.ErrBytes) || isNotDir(err) || errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EINVAL) {
		return &driftError{p, err}
	}
	return err
}

func isNotDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }

func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, as its documentation says
	return hex.EncodeToString(b[:])
}

// journal turns a plan into what will be done, path by path.
func (p *plan) journal(session string) (*journal, error) {
	j := &journal{Version: journalVersion, ID: newID(), Kind: "apply", Root: Name(p.root.Path()), Session: session, State: writing}
	for _, f := range p.files() {
		j.Hunks = append(j.Hunks, f.Hunks...)
		j.Files = append(j.Files, fileName{Path: Name(f.Path), OldPath: Name(f.OldPath), Merged: f.Merged, Hunks: f.Hunks})
	}
	if j.Moves = p.moves; len(j.Moves) > 0 {
		j.Version = movesVersion
	}
	for _, m := range j.Moves {
		j.Hunks = append(j.Hunks, m.Hunk)
	}
	for n, v := range p.cur {
		e := entry{Path: Name(n), Pre: p.real[n], Post: v}
		if v != nil {
			e.body = p.body(v.Sum)
		}
		if !e.Pre.same(e.Post) {
			j.Entries = append(j.Entries, e)
		}
	}
	return j, j.lay(p.root)
}

// lay orders the entries, names their temporaries and lists the directories
// that come and go.
func (j *journal) lay(r *tree.Root) error {
	sort.Slice(j.Entries, func(a, b int) bool { return j.Entries[a].Path < j.Entries[b].Path })
	j.TempDir = Name(tree.TempPrefix + "apply-" + j.ID)
	root, err := r.LstatRoot()
	if err != nil {
		return err
	}
	written := map[string]bool{} // ancestors of what is written
	made := map[string]bool{}
	come := func(p string, missing []string) {
		for d := path.Dir(p); d != "."; d = path.Dir(d) {
			written[d] = true
		}
		for _, d := range missing {
			if !made[d] {
				made[d] = true
				j.Made = append(j.Made, dir{Path: Name(d)})
			}
		}
	}
	for i := range j.Entries {
		e := &j.Entries[i]
		near, missing, info := nearest(r, string(e.Path))
		e.Temp = Name(fmt.Sprintf("%s/%d", j.TempDir, i))
		if info.Dev != root.Dev {
			e.Temp = Name(tree.TempName(path.Join(near, "x"))) // another file system is mounted there
		}
		if e.Post != nil {
			come(string(e.Path), missing)
		}
	}
	for _, m := range j.Moves {
		_, missing, _ := nearest(r, string(m.To))
		come(string(m.To), missing)
	}
	sort.Slice(j.Made, func(a, b int) bool { return j.Made[a].Path < j.Made[b].Path })
	j.keepClosed(r)
	j.emptied(r, written)
	return nil
}

// emptied lists the directories that may be empty afterwards: git knows none.
func (j *journal) emptied(r *tree.Root, written map[string]bool) {
	seen := map[string]bool{}
	for _, m := range j.Moves {
		seen[string(m.From)] = true
	}
	add := func(d string) {
		if seen[d] {
			return
		}
		seen[d] = true
		if info, err := r.Lstat(d); err == nil && info.Mode.IsDir() {
			j.Removed = append(j.Removed, dir{Path: Name(d), Perm: uint32(info.Mode.Perm())})
		}
	}
	var inside func(d string)
	inside = func(d string) {
		es, _ := r.ReadDir(d)
		for _, e := range es {
			if n := d + "/" + e.Name(); e.IsDir() && !seen[n] {
				inside(n)
			}
		}
		add(d)
	}
	above := func(p string) {
		for d := path.Dir(p); d != "." && !written[d]; d = path.Dir(d) {
			add(d)
		}
	}
	for _, m := range j.Moves {
		above(string(m.From))
	}
	for _, e := range j.Entries {
		if e.Post == nil {
			above(string(e.Path))
		} else if info, err := r.Lstat(string(e.Path)); err == nil && info.Mode.IsDir() {
			inside(string(e.Path))
		}
	}
	slices.SortFunc(j.Removed, func(a, b dir) int { return strings.Compare(string(b.Path), string(a.Path)) })
}

// nearest finds the closest directory above p that is there, and those between
// that are not, outermost first.
func nearest(r *tree.Root, p string) (near string, missing []string, info tree.Info) {
	for d := path.Dir(p); ; d = path.Dir(d) {
		if d == "." {
			info, _ = r.LstatRoot()
			return d, missing, info
		}
		if info, err := r.Lstat(d); err == nil && info.Mode.IsDir() {
			return d, missing, info
		}
		missing = append([]string{d}, missing...)
	}
}

// record is the decision record of an apply. A leaf is small: many files are
// named by the digest of the plan and its count.
func (j *journal) record(stale int) countersign.Record {
	const most, mostBytes = 40, 4096
	var files []any
	room := mostBytes
	for _, e := range j.Entries[:min(len(j.Entries), most)] {
		if room -= len(e.Path); room < 0 {
			break
		}
		files = append(files, map[string]any{"path": strings.ToValidUTF8(string(e.Path), "\uFFFD"), "pre": e.Pre.sum(), "post": e.Post.sum()})
	}
	moves := []any{}
	for _, m := range j.Moves[:min(len(j.Moves), most)] {
		if room -= len(m.From) + len(m.To); room < 0 {
			break
		}
		moves = append(moves, map[string]any{"path": strings.ToValidUTF8(string(m.To), "\uFFFD"), "old_path": strings.ToValidUTF8(string(m.From), "\uFFFD")})
	}
	rec := countersign.Record{
		Type: "changeset." + map[string]string{"apply": "applying", "undo": "undoing"}[j.Kind], Session: j.Session, Actor: &countersign.Actor{Kind: "human"},
		Action: &countersign.ActionRecord{Kind: countersign.KindFileWrite, Digest: j.digest(), Summary: fmt.Sprintf("%s %d hunks, %d paths", j.Kind, len(j.Hunks), len(j.Entries)+len(j.Moves))},
		Detail: map[string]any{"apply": j.ID, "hunks": j.Hunks[:min(len(j.Hunks), most)], "hunk_count": len(j.Hunks), "files": files, "file_count": len(j.Entries), "stale": stale},
	}
	if len(j.Moves) > 0 { // of denied files: nothing is said of their content
		rec.Detail["moves"], rec.Detail["move_count"] = moves, len(j.Moves)
	}
	return rec
}
