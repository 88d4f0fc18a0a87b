package base

import (
	"context"
	"path"
	"strings"

	"github.com/countersign/countersign/workspace/gitview"
	"github.com/countersign/countersign/workspace/layer"
)

// Base is the base of one staged tree, and what is needed to compare the two.
type Base struct {
	*Index
	Project *gitview.Project
	Overlay bool        // the staged tree is an overlay's upper directory
	Real    *layer.Root // the real tree
	Tree    *layer.Root // the staged tree
	Tmp     *layer.Root // files being made, on the file system of Saved
	Saved   *layer.Root // base bytes by SHA-256
	View    *layer.Root // a mounted overlay, through which alone its files may be changed; else nil

	First firsts // of an overlay

	moving map[string]string // both paths of a move to its new one; see Waits

	rest  bool        // after Rest
	found *Difference // what was compared then; nil where this process has changed something since

	Attached map[string]*layer.Root // upper directories of attached directories
	Places   map[string]bool        // paths that are no part of the comparison
	Nested   []string               // directories other than the root that hold a repository
	// Denied and Notable tell which ignored files are listed. A directory's path
	// ends in a slash.
	Denied  func(rel string) (rule string, denied bool)
	Notable func(rel string) bool
}

func (b *Base) denied(it *layer.Item) bool {
	_, denied := b.Denied(it.Name())
	return denied
}

// checkIgnored asks the repository each path belongs to. Where git cannot tell,
// a path is not ignored: it is shown.
func (b *Base) checkIgnored(ctx context.Context, paths []string) (map[string]bool, error) {
	if b.Overlay { // the upper directory alone has not all ignore files
		return b.Ignored(ctx, b.Project.Root, paths)
	}
	return b.Ignored(ctx, b.Tree.Path, paths)
}

// Ignored tells which paths git ignores, by the ignore files of a working tree at
// work. A directory's path ends in a slash.
func (b *Base) Ignored(ctx context.Context, work string, paths []string) (map[string]bool, error) {
	p := b.Project
	by := map[string][]string{}
	for _, rel := range paths {
		in := ""
		for _, n := range b.Nested {
			if strings.HasPrefix(rel, n+"/") && len(n) > len(in) {
				in = n
			}
		}
		by[in] = append(by[in], strings.TrimPrefix(strings.TrimPrefix(rel, in), "/"))
	}
	got := map[string]bool{}
	for in, list := range by {
		r, ok := gitview.Repo{}, false
		if in == "" {
			r, ok = p.Repo, p.Git
		} else {
			r, ok = p.RepoAt(in)
		}
		if !ok {
			continue
		}
		ig, err := p.CheckIgnored(ctx, r, path.Join(work, in), list)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			continue
		}
		for rel := range ig {
			got[joinKeep(in, rel)] = true
		}
	}
	return got, nil
}

// joinKeep joins and keeps a slash at the end.
func joinKeep(dir, rel string) string {
	if dir == "" {
		return rel
	}
	return dir + "/" + rel
}

// InBulk tells whether a path lies in a directory that is handled as a whole.
func (b *Base) InBulk(rel string) bool {
	for d := layer.Parent(rel); d != ""; d = layer.Parent(d) {
		if e := b.Get(d); e != nil && (e.Kind == Bulk || e.Kind == Attach) {
			return true
		}
	}
	return false
}
