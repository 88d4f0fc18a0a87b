package commits

import (
	"path"
	"strings"

	"github.com/countersign/countersign/workspace/gitview"
)

// Kept is a commit made inside that stays there, whatever is accepted of it.
type Kept struct {
	ID, Subject string
	Why         string
	Denied      []byte // the denied path below the project's root that it would need; may be empty
	Branch      string // where it is, if that is not checked out inside
	Above       int    // how many other commits stand on it, and stay with it
}

// KeptOf lists them, as they are in list.
func KeptOf(list []gitview.Commit) []Kept {
	out := []Kept{}
	for _, c := range list {
		if c.Refused == "" {
			continue
		}
		k := Kept{ID: c.ID, Why: c.Refused, Above: above(list, c.ID)}
		k.Subject, _, _ = strings.Cut(c.Message, "\n")
		if c.Denied != "" {
			k.Denied = []byte(path.Join(c.Repo, c.Denied))
		}
		if !c.Here {
			k.Branch = strings.TrimPrefix(c.Ref, "refs/heads/")
		}
		out = append(out, k)
	}
	return out
}

// above counts the commits that have id among what they stand on.
func above(list []gitview.Commit, id string) int {
	on := map[string]bool{id: true}
	for grown := true; grown; {
		grown = false
		for _, c := range list {
			for _, p := range c.Parents {
				if on[p] && !on[c.ID] {
					on[c.ID], grown = true, true
				}
			}
		}
	}
	return len(on) - 1
}
