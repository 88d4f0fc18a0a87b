package commits

import (
	"cmp"
	"context"
	"path"
	"slices"
	"strings"

	"github.com/countersign/countersign/workspace/gitview"
	"github.com/countersign/countersign/workspace/tree"
)

// asidesOf are the changes of the commits on branches that are not checked out
// inside, each against its first parent. Of one that touches content the session
// does not have, and of what was built on it, there are none.
func asidesOf(ctx context.Context, git *gitview.Session, list []gitview.Commit) ([]tree.Change, error) {
	var out []tree.Change
	n := 0
	for _, line := range asideLines(list) {
		var ids []string
		for _, c := range line {
			for _, f := range c.Files {
				ids = append(ids, f.Old, f.New)
			}
		}
		blobs, err := git.Blobs(ctx, line[0].Repo, slices.DeleteFunc(ids, none))
		if err != nil {
			return nil, err
		}
		for _, c := range line {
			changes, ok := asideOf(c, n, blobs)
			if !ok {
				break
			}
			out = append(out, changes...)
			n++
		}
	}
	return out, nil
}

func asideOf(c gitview.Commit, n int, blobs map[string]gitview.Blob) (out []tree.Change, ok bool) {
	for _, f := range c.Files {
		was, ok1 := state(f.OldMode, f.Old, blobs)
		is, ok2 := state(f.NewMode, f.New, blobs)
		if !ok1 || !ok2 {
			return nil, false
		}
		out = append(out, tree.Change{Path: path.Join(c.Repo, f.Path), Base: was, Staged: is, Commit: c.ID, Aside: &tree.Aside{Repo: c.Repo, Ref: c.Ref, N: n}})
	}
	return out, true
}

// asideLines are the commits of each such branch, oldest first, up to the first
// that must not be taken over. Those that two branches share are the first's.
func asideLines(list []gitview.Commit) [][]gitview.Commit {
	by := map[string]*gitview.Commit{}
	var tips []*gitview.Commit // the newest of each branch
	at := map[string]int{}
	for i := range list {
		c := &list[i]
		by[c.ID] = c
		if c.Here || !strings.HasPrefix(c.Ref, "refs/heads/") {
			continue
		}
		k := c.Repo + " " + c.Ref
		if n, known := at[k]; known {
			tips[n] = c
			continue
		}
		at[k] = len(tips)
		tips = append(tips, c)
	}
	slices.SortStableFunc(tips, func(a, b *gitview.Commit) int {
		return cmp.Or(cmp.Compare(a.Repo, b.Repo), cmp.Compare(a.Ref, b.Ref))
	})
	var out [][]gitview.Commit
	for _, tip := range tips {
		var line []gitview.Commit
		for c := range gitview.FirstParents(by, tip.ID) {
			if c.Here || c.Ref != tip.Ref || c.Repo != tip.Repo {
				break
			}
			line = append(line, *c)
		}
		if line = upTo(line); len(line) > 0 {
			out = append(out, line)
		}
	}
	return out
}
