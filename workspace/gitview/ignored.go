package gitview

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/countersign/countersign/workspace/gitrun"
)

// Ignored is what one repository's working tree ignores, as paths below the
// project's root.
type Ignored struct {
	Dirs  map[string]bool // whole directories
	Files map[string]bool
}

// Ahead begins to ask what the root's repository ignores; the next Ignored of it
// takes the answer.
func (p *Project) Ahead(ctx context.Context) {
	ask := sync.OnceValues(func() (Ignored, error) { return p.IgnoredAt(ctx, p.Repo, p.Root) })
	p.ahead.Store(&ask)
	go ask()
}

// Ignored lists what the repository at rel ignores in the real tree. A project
// without git ignores nothing.
func (p *Project) Ignored(ctx context.Context, r Repo) (Ignored, error) {
	if r == p.Repo {
		if ask := p.ahead.Swap(nil); ask != nil {
			return (*ask)()
		}
	}
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
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := c.Run(ctx, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
	if err != nil {
		return ig, err
	}
	for _, name := range gitrun.SplitZ(out) {
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
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if paths = answerable(work, paths); len(paths) == 0 {
		return got, nil
	}
	c.In = strings.NewReader(strings.Join(paths, "\x00") + "\x00")
	out, err := c.Run(ctx, "check-ignore", "-z", "--stdin")
	if err != nil && gitrun.ExitCode(err) != 1 { // 1: none is ignored
		return got, err
	}
	for _, name := range gitrun.SplitZ(out) {
		got[name] = true
	}
	return got, nil
}

// patience is how long git may read ignore files of a tree that an agent writes:
// it opens them as they stand, and a named pipe would hold it for ever.
const patience = 30 * time.Second

// maxPath is what the kernel takes of a path (PATH_MAX); git goes through longer
// ones for minutes and then fails.
const maxPath = 4096

// answerable leaves out the paths for which git would open an ignore file that
// is none (for a directory its own too). They count as not ignored: what cannot be told is shown.
func answerable(work string, paths []string) []string {
	known := map[string]bool{}
	var plain func(dir string) bool
	plain = func(dir string) bool {
		is, ok := known[dir]
		if !ok {
			fi, err := os.Stat(filepath.Join(work, dir, ".gitignore"))
			is = (err != nil || fi.Mode().IsRegular()) && (dir == "." || plain(path.Dir(dir)))
			known[dir] = is
		}
		return is
	}
	var out []string
	for _, p := range paths {
		if len(p) < maxPath && plain(path.Dir(p)) {
			out = append(out, p)
		}
	}
	return out
}

func (p *Project) listing(ctx context.Context, r Repo, work string) gitrun.Call {
	c := gitrun.Call{Repo: r, Work: work}
	if f := p.userSettings(ctx).excludes; f != "" {
		c.Extra = []string{"core.excludesFile=" + f}
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
		if b, err := (gitrun.Call{Repo: r, Work: p.Root}).Run(ctx, "cat-file", "blob", at+in); err == nil {
			got = append(got, b)
		}
	}
	return got
}
