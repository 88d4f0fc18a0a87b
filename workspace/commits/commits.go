// Package commits says which changes of a session's layer belong to commits made
// inside, what each of those commits did, and which of them can go nowhere.
//
// It promises that the steps of a change are read from objects whose names were
// checked, in the order of the commits on the branch that is checked out, each
// against its first parent; that a commit which must not be taken over, and what
// was built on it, is no step; and that a path with content the session does not
// have gets none. It reads through gitview and writes nothing itself.
package commits

import (
	"context"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/countersign/countersign/workspace/gitview"
	"github.com/countersign/countersign/workspace/objects"
	"github.com/countersign/countersign/workspace/tree"
)

// Chain keeps the commits made inside while no ref moves.
type Chain struct {
	tips  string
	list  []gitview.Commit
	steps map[string][]tree.Step // by path below the project's root
	aside []tree.Change
}

// madeIn is the newest commit that touches a path.
type madeIn struct{ commit, blob string }

// Mark gives each change its steps and names the newest commit made inside that
// holds its bytes; it adds the paths that commits changed and that are as they
// were, and, last, what commits on other branches did. base says what the base of
// a path is, nil for none.
func (k *Chain) Mark(ctx context.Context, git *gitview.Session, list []tree.Change, base func(rel string) *tree.State) ([]tree.Change, error) {
	tips := git.Tips()
	if tips != k.tips {
		commits, err := git.NewCommits(ctx)
		if err != nil {
			return list, err
		}
		steps, err := stepsOf(ctx, git, commits)
		if err != nil {
			return list, err
		}
		aside, err := asidesOf(ctx, git, commits)
		if err != nil {
			return list, err
		}
		*k = Chain{tips, commits, steps, aside}
	}
	if len(k.list) == 0 {
		return list, nil
	}
	list = k.attach(list, base)
	k.name(list)
	return append(list, k.aside...), nil
}

// attach gives the changes their steps. Renames that were found between the base
// and what is staged are taken apart where a step knows one of their paths.
func (k *Chain) attach(list []tree.Change, base func(string) *tree.State) []tree.Change {
	out := make([]tree.Change, 0, len(list))
	have := map[string]bool{}
	for _, c := range list {
		from := c.RenamedFrom
		if from != "" && !c.Unread() && (k.steps[from] != nil || k.steps[c.Path] != nil) {
			out = append(out, tree.Change{Path: from, Base: c.Base, Steps: k.steps[from]})
			have[from] = true
			c.RenamedFrom, c.Base = "", base(c.Path)
		}
		c.Steps = k.steps[c.Path]
		have[c.Path] = true
		out = append(out, c)
	}
	for rel, steps := range k.steps {
		if !have[rel] {
			now := base(rel)
			out = append(out, tree.Change{Path: rel, Base: now, Staged: now, Steps: steps})
		}
	}
	slices.SortFunc(out, func(a, b tree.Change) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// name sets the newest commit that holds a change's bytes, whatever branch it is
// on. A commit that must not be taken over names none.
func (k *Chain) name(list []tree.Change) {
	by := map[string]madeIn{}
	for _, c := range k.list { // the oldest first
		if c.Refused != "" {
			continue
		}
		for _, f := range c.Files {
			by[path.Join(c.Repo, f.Path)] = madeIn{c.ID, f.New}
		}
	}
	for i := range list {
		c := &list[i]
		m, ok := by[c.Path]
		switch {
		case !ok:
		case c.Staged == nil:
			if strings.Trim(m.blob, "0") == "" {
				c.Commit = m.commit
			}
		case blobID(c.Staged, len(m.blob)) == m.blob:
			c.Commit = m.commit
		}
	}
}

// blobID is the id git gives to the content, in a repository whose ids have n
// digits.
func blobID(st *tree.State, n int) string {
	r, err := st.Open()
	if err != nil {
		return ""
	}
	defer r.Close()
	id, err := objects.ID(r, st.Size, n)
	if err != nil {
		return ""
	}
	return id
}

// stepsOf goes through the commits of each repository's line of first parents.
func stepsOf(ctx context.Context, git *gitview.Session, list []gitview.Commit) (map[string][]tree.Step, error) {
	steps, out := map[string][]tree.Step{}, map[string]bool{}
	n := 0
	for _, line := range lines(list) {
		repo := line[0].Repo
		var ids []string
		for _, c := range line {
			for _, f := range c.Files {
				ids = append(ids, f.Old, f.New)
			}
		}
		blobs, err := git.Blobs(ctx, repo, slices.DeleteFunc(ids, none))
		if err != nil {
			return nil, err
		}
		for _, c := range line {
			for _, f := range c.Files {
				rel := path.Join(repo, f.Path)
				was, ok1 := state(f.OldMode, f.Old, blobs)
				is, ok2 := state(f.NewMode, f.New, blobs)
				steps[rel] = append(steps[rel], tree.Step{Repo: repo, Commit: c.ID, N: n, Base: was, Staged: is})
				out[rel] = out[rel] || !ok1 || !ok2
			}
			n++
		}
	}
	for rel := range out {
		if out[rel] {
			delete(steps, rel)
		}
	}
	return steps, nil
}

// lines are the commits of the branches that are checked out, a repository each,
// oldest first, up to the first that must not be taken over. Nested repositories
// come before what they lie in: its commits name theirs.
func lines(list []gitview.Commit) [][]gitview.Commit {
	by := map[string]*gitview.Commit{}
	tip := map[string]string{} // repository to the newest commit checked out there
	for i := range list {
		by[list[i].ID] = &list[i]
		if list[i].Here {
			tip[list[i].Repo] = list[i].ID
		}
	}
	repos := make([]string, 0, len(tip))
	for repo := range tip {
		repos = append(repos, repo)
	}
	slices.SortFunc(repos, func(a, b string) int { return strings.Compare(b, a) })
	var out [][]gitview.Commit
	for _, repo := range repos {
		var line []gitview.Commit
		for c := range gitview.FirstParents(by, tip[repo]) {
			if c.Repo != repo {
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

// upTo turns a line of first parents round, the oldest first, and ends it before
// the first commit that cannot be taken over.
func upTo(line []gitview.Commit) []gitview.Commit {
	slices.Reverse(line)
	if i := slices.IndexFunc(line, func(c gitview.Commit) bool { return c.Refused != "" }); i >= 0 {
		return line[:i]
	}
	return line
}

func none(id string) bool { return strings.Trim(id, "0") == "" }

// state is one side of what a commit did; ok is false where it is no file, or its
// content is not in reach.
func state(mode, id string, blobs map[string]gitview.Blob) (st *tree.State, ok bool) {
	if none(id) {
		return nil, true
	}
	b, ok := blobs[id]
	m, err := strconv.ParseUint(mode, 8, 32)
	if !ok || err != nil || mode == "160000" {
		return nil, false
	}
	return &tree.State{Mode: uint32(m), Size: b.Size, SHA256: b.SHA256, Open: func() (io.ReadCloser, error) { return os.Open(b.File) }}, true
}
