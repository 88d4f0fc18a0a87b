package review

import (
	"slices"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/workspace/tree"
)

// Commit is a commit made inside, and the hunks that belong to it.
type Commit struct {
	Ref   string // refs/heads/… that is not checked out inside, or empty
	Repo  string // where the repository's working tree stands below the root
	ID    string
	Hunks []countersign.Hunk
	// Whole is set if every hunk was applied as the agent had it (on a branch that
	// is not checked out: accepted): only then may the commit itself be taken over.
	// An edited hunk makes other bytes.
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
		if h.Commit == "" || h.Branch != "" {
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

// Asides are the commits of branches that are not checked out inside, a branch's
// together, oldest first.
func (r *Review) Asides() []Commit {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Commit
	for _, h := range r.hunks { // in the order of the commits
		if h.Branch == "" {
			continue
		}
		if n := len(out); n == 0 || out[n-1].ID != h.Commit || out[n-1].Ref != h.Branch {
			out = append(out, Commit{Ref: h.Branch, Repo: r.repos[h.Step], ID: h.Commit, Whole: true})
		}
		c := &out[len(out)-1]
		c.Hunks = append(c.Hunks, h)
		c.Whole = c.Whole && landed(h)
	}
	return out
}

// Withdraw opens the hunks of a branch again that is not there any more.
func (r *Review) Withdraw(branch string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.locked(func(st *state) (changed bool, err error) {
		for k, d := range st.Decisions {
			if string(d.Branch) == branch {
				delete(st.Decisions, k)
				changed = true
			}
		}
		return changed, nil
	})
}

// landed reports whether a hunk is where it was to go, as the agent had it.
func landed(h countersign.Hunk) bool {
	return h.Proposed == "" && (h.State == countersign.Applied || h.Branch != "" && h.State == countersign.Accepted)
}

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
	branch string // the commit's, if that is not checked out
	list   []tree.Change
}

// passes takes the changes apart into what each commit did and what came on top.
// A path that was no longer what the first of its commits started from is shown
// as one change, unless hunks that were applied explain it: what a person had
// changed there before would else be part of the commit's hunks.
func (r *Review) passes(listed []tree.Change, st *state) []pass {
	var asides []tree.Change
	listed = slices.Clone(listed)
	listed = slices.DeleteFunc(listed, func(c tree.Change) bool {
		if c.Aside != nil {
			asides = append(asides, c)
		}
		return c.Aside != nil
	})
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
	return r.addAsides(out, asides)
}

// addAsides adds a pass for each commit on a branch that is not checked out.
func (r *Review) addAsides(out []pass, asides []tree.Change) []pass {
	r.repos = map[int]string{}
	first := len(out)
	for _, c := range asides {
		at := first + c.Aside.N
		for len(out) <= at {
			out = append(out, pass{})
		}
		p := &out[at]
		p.commit, p.branch = c.Commit, c.Aside.Ref
		p.list = append(p.list, c)
		r.repos[at] = c.Aside.Repo
	}
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
