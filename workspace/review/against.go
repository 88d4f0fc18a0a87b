package review

import (
	"slices"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/diff"
	"github.com/countersign/countersign/workspace/apply"
	"github.com/countersign/countersign/workspace/tree"
)

// Follow says how the real file at a path is read: nil for none, and whether that
// could be told. Without it, Against has no effect.
func (r *Review) Follow(real func(path string) (st *tree.State, ok bool)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.real = real
}

// Against shows paths, from now on, against the real file instead of the base:
// a person has changed it meanwhile, and whoever decides has to see that.
func (r *Review) Against(paths ...string) error {
	if len(paths) == 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.locked(func(st *state) (bool, error) {
		for _, p := range paths {
			if !slices.Contains(st.Against, apply.Name(p)) {
				st.Against = append(st.Against, apply.Name(p))
			}
		}
		r.against = st.Against
		return true, nil
	})
}

// ShownAgainst reports whether a path is shown against the real file.
func (r *Review) ShownAgainst(path string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.against, apply.Name(path))
}

// clashes are the lines of a proposal, by path, that a person had changed
// otherwise; nil for the whole file.
type clashes map[string][]countersign.Hunk

// turn puts the real file in the place of the base where that was asked for. What
// the person did elsewhere in a file is in both then; where both changed the same
// lines, the proposal has the agent's.
func (r *Review) turn(listed []tree.Change, st *state) clashes {
	found := clashes{}
	r.against = st.Against
	for i := range listed {
		c := &listed[i]
		if c.Aside != nil || len(st.Against) == 0 || r.real == nil || c.RenamedFrom != "" || !slices.Contains(st.Against, apply.Name(c.Path)) {
			continue
		}
		now, ok := r.real(c.Path)
		if !ok || tree.Same(now, c.Base) {
			continue
		}
		staged, lines := proposal(c, now)
		*c = tree.Change{Path: c.Path, Base: now, Staged: staged, Ignored: c.Ignored, Commit: c.Commit}
		found[c.Path] = lines
	}
	return found
}

// proposal is what the agent's version is beside a person's, and its lines that
// do not go together with them.
func proposal(c *tree.Change, now *tree.State) (*tree.State, []countersign.Hunk) {
	if c.Base == nil || c.Staged == nil || now == nil {
		return c.Staged, nil
	}
	var data [3][]byte
	for i, s := range []*tree.State{c.Base, c.Staged, now} {
		v, err := read(s)
		if err != nil || !v.text || v.sum != s.SHA256 || tree.IsSymlink(s.Mode) {
			return c.Staged, nil
		}
		data[i] = v.data
	}
	mode := now.Mode
	if c.Staged.Mode != c.Base.Mode {
		mode = c.Staged.Mode
	}
	agents, _ := diff.Merge3(data[0], data[1], data[2]) // where both changed the same, the first side stays
	persons, _ := diff.Merge3(data[0], data[2], data[1])
	lines := diff.Hunks(persons, agents)
	if lines == nil {
		lines = []countersign.Hunk{}
	}
	return tree.FromBytes(agents, mode), lines
}

// mark sets what clashes to stale: it is accepted by name only.
func (cl clashes) mark(hs []countersign.Hunk) {
	for i := range hs {
		h := &hs[i]
		lines, ok := cl[h.Path]
		if !ok || h.Branch != "" || h.State != countersign.Undecided {
			continue
		}
		if lines == nil {
			h.State = countersign.Stale
		}
		for _, l := range lines {
			if h.Op == countersign.OpModify && h.NewStart <= l.NewStart+l.NewLines && l.NewStart <= h.NewStart+h.NewLines {
				h.State = countersign.Stale
			}
		}
	}
}
