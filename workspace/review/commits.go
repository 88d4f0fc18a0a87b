package review

import (
	countersign "github.com/countersign/countersign"
)

// Commit is a commit made inside, and the hunks that belong to it.
type Commit struct {
	ID    string
	Hunks []countersign.Hunk
	// Whole is set if every hunk is accepted as it is, or applied: only then
	// may the commit itself be taken over. An edited hunk makes other bytes.
	Whole bool
}

// Commits groups hunks by the commit they belong to, in the order of the hunks.
// Hunks of no commit are left out.
func Commits(hs []countersign.Hunk) []Commit {
	var out []Commit
	at := map[string]int{}
	for _, h := range hs {
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
		if h.State != countersign.Accepted && (h.State != countersign.Applied || h.Proposed != "") {
			c.Whole = false
		}
	}
	return out
}
