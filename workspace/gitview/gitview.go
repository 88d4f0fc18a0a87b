// Package gitview knows a project's git: where its repositories are, what they
// ignore, and how a session gets git directories of its own.
//
// It promises:
//   - git on the host never runs a program a repository names: no hooks, no
//     fsmonitor, no filters, no ssh command, no transport, no lazy fetch; the
//     system's and the user's configuration are not read either, but for the
//     user's name, address and ignore file.
//   - A session's git directory holds no content of a denied path: its objects
//     are exactly those reachable from branches, tags, remote branches, HEAD and
//     the index, less every blob that stands at a denied path in any of them.
//     Stash, reflog and unreachable objects stay outside. Git inside reads a line
//     in the place of such a blob, and checks no denied path out; the line is
//     never content for the host: no change, and no commit that is taken over.
//   - What an agent can write is read as data only: its git directory is never
//     used as one on the host.
//
// It may touch the session's git directory, the project's store of filtered
// objects and, in TakeOver and GiveBack alone, the real repository's objects, one ref and
// its index. It writes no file of a working tree and runs nothing but git.
package gitview

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/workspace/gitrun"
)

// Project is a directory tree an agent works on.
type Project struct {
	Root string // real path: the top of the working tree, or the directory itself
	Git  bool   // whether a git repository was found
	Repo Repo   // the root's repository, if Git

	user     userConfig
	userOnce sync.Once
	ahead    atomic.Pointer[func() (Ignored, error)] // see Ahead
}

// Repo is one repository of a project.
type Repo = gitrun.Repo

// Find looks for the project that dir belongs to: the nearest directory upwards
// that holds a .git, else dir itself, which then is a project without git.
func Find(dir string) (*Project, error) {
	abs, err := filepath.Abs(dir)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err == nil {
		var fi os.FileInfo
		if fi, err = os.Stat(abs); err == nil && !fi.IsDir() {
			abs = filepath.Dir(abs)
		}
	}
	if err != nil {
		return nil, &countersign.Error{Code: countersign.EInvalid, Op: "find the project", Thing: dir, Err: err}
	}
	for d := abs; ; d = filepath.Dir(d) {
		if r, ok := repoAt(d); ok {
			return &Project{Root: d, Git: true, Repo: r}, nil
		}
		if filepath.Dir(d) == d {
			return &Project{Root: abs}, nil
		}
	}
}

// RepoAt tells which repository has its working tree at rel below the root.
func (p *Project) RepoAt(rel string) (Repo, bool) {
	r, ok := repoAt(filepath.Join(p.Root, rel))
	r.Rel = rel
	return r, ok
}

// repoAt reads the .git of a working tree (gitrepository-layout(5)).
func repoAt(dir string) (Repo, bool) {
	dot := filepath.Join(dir, ".git")
	fi, err := os.Lstat(dot)
	if err != nil {
		return Repo{}, false
	}
	r := Repo{Dir: dot}
	if fi.Mode()&os.ModeSymlink != 0 { // an old way to share a git directory
		if r.Dir, err = filepath.EvalSymlinks(dot); err != nil {
			return Repo{}, false
		}
		r.File = true
	}
	if fi.Mode().IsRegular() {
		b, err := os.ReadFile(dot)
		to, ok := strings.CutPrefix(strings.TrimRight(string(b), "\r\n"), "gitdir: ")
		if err != nil || !ok {
			return Repo{}, false
		}
		r.Dir, r.File = absFrom(dir, to), true
	}
	if _, err := os.Lstat(filepath.Join(r.Dir, "HEAD")); err != nil {
		return Repo{}, false
	}
	r.Common = r.Dir
	if b, err := os.ReadFile(filepath.Join(r.Dir, "commondir")); err == nil {
		r.Common = absFrom(r.Dir, strings.TrimSpace(string(b)))
	}
	return r, true
}

func absFrom(base, p string) string {
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(base, p)
}
