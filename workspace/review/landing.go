package review

import (
	"slices"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/diff"
	"github.com/countersign/countersign/workspace/apply"
	"github.com/countersign/countersign/workspace/tree"
)

// seen is one path as the last Update had it.
type seen struct {
	staged *tree.State // as the layer has it
	change tree.Change // as it was shown: against the real file where that was asked for
}

// Landing says what the staged version of a path becomes after an apply left the
// real one: that file itself where every hunk was applied, else with what was
// not, rejected hunks included. ok is false where there is no staged version or
// the two do not go together; then both stay as they are.
func (r *Review) Landing(path string, real *tree.State) (l tree.Landing, ok bool) {
	return r.Landings()(path, real)
}

// Landings is Landing of many paths, as the hunks are now.
func (r *Review) Landings() func(path string, real *tree.State) (tree.Landing, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := map[string][]countersign.Hunk{}
	for _, h := range r.hunks {
		if h.Branch != "" {
			continue
		}
		at[h.Path] = append(at[h.Path], h)
		if h.OldPath != "" && h.OldPath != h.Path {
			at[h.OldPath] = append(at[h.OldPath], h)
		}
	}
	return func(path string, real *tree.State) (tree.Landing, bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.landing(path, at[path], real)
	}
}

func (r *Review) landing(path string, hunks []countersign.Hunk, real *tree.State) (l tree.Landing, ok bool) {
	s, ok := r.seen[path]
	if !ok || s.staged == nil || real == nil {
		return l, false
	}
	l = tree.Landing{Path: []byte(path), Was: s.staged.SHA256, Mode: s.staged.Mode, Real: real.SHA256}
	left := false
	var lines []countersign.Hunk
	for _, h := range hunks {
		left = left || h.State != countersign.Applied
		if h.Op == countersign.OpModify && !r.kept[key(h)] {
			lines = append(lines, h)
		}
	}
	if !left {
		return l, true
	}
	l.Post, ok = r.leftOver(s, lines, real)
	return l, ok
}

// leftOver is the real file with what of the agent's version was not applied.
func (r *Review) leftOver(s seen, lines []countersign.Hunk, real *tree.State) ([]byte, bool) {
	c := s.change
	var data [3][]byte
	for i, st := range []*tree.State{c.Base, c.Staged, real} {
		if st == nil || tree.IsSymlink(st.Mode) {
			return nil, false
		}
		v, err := read(st)
		if err != nil || !v.text || v.sum != st.SHA256 {
			return nil, false
		}
		data[i] = v.data
	}
	agents := data[1]
	if len(c.Steps) == 0 { // a person's own words for a hunk, once applied, are what it is
		for i, h := range lines {
			if h.State != countersign.Applied {
				h = r.proposed(h)
			}
			if r.fill(&h) != nil {
				return nil, false
			}
			lines[i] = h
		}
		v, err := diff.Apply(data[0], lines)
		if err != nil {
			return nil, false
		}
		agents = v
	}
	merged, conflicts := diff.Merge3(data[0], agents, data[2])
	if merged == nil {
		merged = []byte{}
	}
	return merged, len(conflicts) == 0
}

// Along takes paths back from Against: the session has the person's side too.
func (r *Review) Along(paths ...string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.locked(func(st *state) (changed bool, err error) {
		n := len(st.Against)
		st.Against = slices.DeleteFunc(st.Against, func(p apply.Name) bool { return slices.Contains(paths, string(p)) })
		r.against = st.Against
		return len(st.Against) != n, nil
	})
}
