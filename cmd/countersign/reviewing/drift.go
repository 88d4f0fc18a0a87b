package reviewing

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/diff"
	tuireview "github.com/countersign/countersign/tui/review"
	"github.com/countersign/countersign/workspace/apply"
	"github.com/countersign/countersign/workspace/tree"
)

// driftLimit bounds what a list reads to find drift, in bytes of one file.
const driftLimit = 4 << 20

// sayDrift names the files that the person changed too: what both changed in the
// same place stays behind when it is applied.
func (r *Reviewing) sayDrift(cs countersign.Changeset) {
	said := map[string]bool{}
	for _, h := range cs.Hunks {
		if h.Branch != "" || said[h.Path] || h.State == countersign.Applied || h.State == countersign.Rejected {
			continue
		}
		said[h.Path] = true
		if r.drifted(h) {
			r.Say("%s was changed outside the session too: where both changed the same lines, its hunks stay behind", base.Plain(h.Path))
		}
	}
}

// drifted reports whether the real file is no longer what the agent started
// from. What cannot be read is left to the apply to judge.
func (r *Reviewing) drifted(h countersign.Hunk) bool {
	if h.Op != countersign.OpCreate && h.Op != countersign.OpModify && h.Op != countersign.OpDelete {
		return false
	}
	now, ok := r.small(h.Path)
	switch {
	case h.Op == countersign.OpCreate:
		return now != nil || !ok
	case !ok:
		return false
	case now == nil:
		return true
	}
	was, err := r.staging.BaseBytes(h.Path)
	return err == nil && (diff.SHA256(was) != now.SHA256 || tree.IsSymlink(now.Mode) != tree.IsSymlink(h.OldMode))
}

// realFile reads the person's file at a path, of a symlink its target: nil if
// there is none, and whether that could be told.
func (r *Reviewing) realFile(path string) (*tree.State, bool) {
	return r.personsFile(path, math.MaxInt64)
}

// small is realFile of what a list or a screen reads.
func (r *Reviewing) small(path string) (*tree.State, bool) { return r.personsFile(path, driftLimit) }

func (r *Reviewing) personsFile(path string, most int64) (*tree.State, bool) {
	root, err := tree.OpenRoot(r.kept.Project)
	if err != nil {
		return nil, false
	}
	defer root.Close()
	info, err := root.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, true
	}
	if _, denied := r.policy.Path(path); denied || err != nil || info.Size > most {
		return nil, false // what is denied is in no diff either
	}
	st, err := root.State(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, true
	}
	if err != nil {
		return nil, false
	}
	if tree.IsSymlink(st.Mode) {
		return st, true
	}
	st.Open = func() (io.ReadCloser, error) { // the root is closed by then
		root, err := tree.OpenRoot(r.kept.Project)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		return root.Open(path)
	}
	return st, true
}

// diverged are the paths that a person had changed when an apply came to them.
func (r *Reviewing) diverged(res apply.Result) []string {
	var paths []string
	wrote := map[string]bool{}
	for _, f := range res.Files {
		wrote[f.Path], wrote[f.OldPath] = true, true
		if !f.Merged {
			continue
		}
		from := f.Path
		if f.OldPath != "" {
			from = f.OldPath
		}
		if was, err := r.staging.BaseBytes(from); err != nil || diff.SHA256(was) != f.Pre {
			paths = append(paths, f.Path)
		}
	}
	for _, h := range res.Stale {
		if !wrote[h.Path] && r.drifted(h) {
			paths = append(paths, h.Path)
		}
	}
	return paths
}

// Clash implements the screen's Source.
func (r *Reviewing) Clash(h countersign.Hunk) *tuireview.Clash {
	if h.Unread() {
		return nil
	}
	now, ok := r.realBytes(h)
	was, err := r.staging.BaseBytes(h.Path)
	if h.State == countersign.Stale && r.review.ShownAgainst(h.Path) {
		c := &tuireview.Clash{Turned: true}
		if agents, aerr := r.whole(h, now); err == nil && aerr == nil {
			_, conflicts := diff.Merge3(was, now, agents)
			for _, x := range conflicts {
				if bytes.Contains(x.Ours, h.Pre) {
					c.Was = x.Base
				}
			}
		}
		return c
	}
	if h.Branch != "" || h.State == countersign.Applied || h.State == countersign.Rejected || !r.drifted(h) {
		return nil
	}
	if h.Op != countersign.OpModify || !ok || err != nil {
		return &tuireview.Clash{Yours: now}
	}
	stands, err := r.review.Base(h)
	if err != nil {
		return &tuireview.Clash{}
	}
	ours, _ := diff.Merge3(was, now, stands) // a commit's hunk stands on those before it
	theirs, err := r.whole(h, stands)
	if err != nil {
		return &tuireview.Clash{}
	}
	_, conflicts := diff.Merge3(stands, ours, theirs)
	if len(conflicts) == 0 {
		return &tuireview.Clash{Merges: true}
	}
	return &tuireview.Clash{Was: conflicts[0].Base, Yours: conflicts[0].Ours}
}

// whole is a file with one hunk applied.
func (r *Reviewing) whole(h countersign.Hunk, old []byte) ([]byte, error) {
	if err := r.review.Load(&h); err != nil {
		return nil, err
	}
	return diff.Apply(old, []countersign.Hunk{h})
}

// realBytes reads the person's file of a hunk, as far as it is shown.
func (r *Reviewing) realBytes(h countersign.Hunk) ([]byte, bool) {
	st, ok := r.small(h.Path)
	if !ok || st == nil {
		return nil, false
	}
	f, err := st.Open()
	if err != nil {
		return nil, false
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	return b, err == nil
}

// Against implements the screen's Source.
func (r *Reviewing) Against(path string) error { return r.review.Against(path) }
