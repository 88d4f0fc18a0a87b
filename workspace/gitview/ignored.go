package gitview

import (
	"context"
	"path"
	"path/filepath"
	"strings"
)

// Ignored is what one repository's working tree ignores, as paths below the
// project's root.
type Ignored struct {
	Dirs  map[string]bool // whole directories
	Files map[string]bool
}

// Ignored lists what the repository at rel ignores in the real tree. A project
// without git ignores nothing.
func (p *Project) Ignored(ctx context.Context, r Repo) (Ignored, error) {
	return p.IgnoredAt(ctx, r, filepath.Join(p.Root, r.Rel))
}

// IgnoredAt lists what the repository would ignore if its working tree were at
// work.
func (p *Project) IgnoredAt(ctx context.Context, r Repo, work string) (Ignored, error) {
	ig := Ignored{Dirs: map[string]bool{}, Files: map[string]bool{}}
	if r.Dir == "" {
		return ig, nil
	}
	c := p.listing(ctx, r, work)
	out, err := c.run(ctx, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
	if err != nil {
		return ig, err
	}
	for _, name := range splitZ(out) {
		if d, ok := strings.CutSuffix(name, "/"); ok {
			ig.Dirs[path.Join(r.Rel, d)] = true
		} else {
			ig.Files[path.Join(r.Rel, name)] = true
		}
	}
	return ig, nil
}

// CheckIgnored tells which of the paths the repository r would ignore if its
// working tree were at work: paths are below work.
func (p *Project) CheckIgnored(ctx context.Context, r Repo, work string, paths []string) (map[string]bool, error) {
	got := map[string]bool{}
	if r.Dir == "" || len(paths) == 0 {
		return got, nil
	}
	c := p.listing(ctx, r, work)
	c.in = strings.NewReader(strings.Join(paths, "\x00") + "\x00")
	out, err := c.run(ctx, "check-ignore", "-z", "--stdin")
	if err != nil && exitCode(err) != 1 { // 1: none is ignored
		return got, err
	}
	for _, name := range splitZ(out) {
		got[name] = true
	}
	return got, nil
}

func (p *Project) listing(ctx context.Context, r Repo, work string) call {
	c := call{repo: r, work: work}
	if f := p.userSettings(ctx).excludes; f != "" {
		c.extra = []string{"core.excludesFile=" + f}
	}
	return c
}

// Committed returns what the index and HEAD of the repository that rel belongs
// to hold at rel, as far as they do.
func (p *Project) Committed(ctx context.Context, rel string) [][]byte {
	r, in := p.Repo, rel
	for d := path.Dir(rel); d != "."; d = path.Dir(d) {
		if n, ok := p.RepoAt(d); ok {
			r, in = n, strings.TrimPrefix(rel, d+"/")
			break
		}
	}
	var got [][]byte
	for _, at := range []string{":0:", "HEAD:"} {
		if b, err := (call{repo: r, work: p.Root}).run(ctx, "cat-file", "blob", at+in); err == nil {
			got = append(got, b)
		}
	}
	return got
}
