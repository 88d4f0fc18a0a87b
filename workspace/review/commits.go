package review

import (
	"slices"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/workspace/tree"
)

// Commit is a commit made inside, and the hunks that belong to it.
type Commit struct {
	Repo  string // where the repository's working tree stands below the root
	ID    string
	Hunks []countersign.Hunk
	// Whole is set if every hunk was applied as the agent had it: only then may
	// the commit itself be taken over. An edited hunk makes other bytes.
	Whole bool
}

// Commits groups the hunks by the commit they belong to: first those of the
// branch that is checked out, in their order, those without a hunk among them;
// then others, in the order of the hunks. Hunks of no commit are left out.
func (r *Review) Commits() []Commit {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := slices.Clone(r.chain)
	at := map[string]int{}
	for i, c := range out {
		at[c.ID] = i
	}
	for _, h := range r.hunks {
		if h.Commit == "" {
			continue
		}
		i, ok := at[h.Commit]
		if !ok {
			i = len(out)
			at[h.Commit] = i
			out = append(out, Commit{ID: h.Commit, Whole: true})
		}
		c := &out[i]
		c.Hunks = append(c.Hunks, h)
		c.Whole = c.Whole && landed(h)
	}
	return out
}

func landed(h countersign.Hunk) bool { return h.State == countersign.Applied && h.Proposed == "" }

// Does reports whether all that the commit does to a path is among its hunks and
// was applied.
func (c Commit) Does(path string) bool {
	some := false
	for _, h := range c.Hunks {
		if h.Path != path && (h.OldPath != path || h.Op != countersign.OpRename) {
			continue
		}
		if some = true; !landed(h) {
			return false
		}
	}
	return some
}

// pass is what is compared at once: what one commit did, or, last, what the
// working tree holds beyond them.
type pass struct {
	commit string
	list   []tree.Change
}

// passes takes the changes apart into what each commit did and what came on top.
// A path that was no longer what the first of its commits started from is shown
// as one change, unless hunks that were applied explain it: what a person had
// changed there before would else be part of the commit's hunks.
func (r *Review) passes(listed []tree.Change, st *state) []pass {
	n := 0
	for _, c := range listed {
		for _, s := range c.Steps {
			n = max(n, s.N+1)
		}
	}
	out, chain := make([]pass, n+1), make([]Commit, n)
	for _, c := range listed {
		for _, s := range c.Steps {
			out[s.N].commit = s.Commit
			chain[s.N] = Commit{Repo: s.Repo, ID: s.Commit, Whole: true}
		}
		top := c
		if len(c.Steps) > 0 && (tree.Same(c.Base, c.Steps[0].Base) || st.applied(c)) {
			for _, s := range c.Steps {
				out[s.N].list = append(out[s.N].list, tree.Change{Path: c.Path, Base: s.Base, Staged: s.Staged, Commit: s.Commit})
			}
			top = tree.Change{Path: c.Path, Base: c.Steps[len(c.Steps)-1].Staged, Staged: c.Staged}
		}
		if top.Differs() {
			out[n].list = append(out[n].list, top)
		}
	}
	// A commit in whose place nothing stands has no files.
	r.chain = slices.DeleteFunc(chain, func(c Commit) bool { return c.ID == "" })
	return out
}

// applied reports whether a hunk of one of a change's steps, or of what stands on
// them, has been applied.
func (st *state) applied(c tree.Change) bool {
	stands := map[string]bool{sum(c.Steps[len(c.Steps)-1].Staged): true}
	made := false
	for _, s := range c.Steps {
		stands[sum(s.Base)] = true
		made = made || s.Base == nil
	}
	for _, d := range st.Decisions {
		if d.State != countersign.Applied {
			continue
		}
		renamed := d.OldPath != ""
		switch c.Path {
		case string(d.Path):
			if renamed && made || !renamed && stands[d.Base] {
				return true
			}
		case string(d.OldPath):
			if stands[d.Base] {
				return true
			}
		}
	}
	return false
}

func sum(s *tree.State) string {
	if s == nil {
		return ""
	}
	return s.SHA256
}
