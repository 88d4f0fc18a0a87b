package gate

import (
	"path"
	"slices"
	"strings"

	countersign "github.com/countersign/countersign"
)

// byName are the system's programs that git starts by itself: to page, to sign
// and check signatures, to reach a host.
var byName = []string{"less", "more", "pager", "cat", "gpg", "gpg2", "gpgsm", "ssh-keygen", "ssh", "gzip"}

// configured reports whether git starts what its configuration names: an alias,
// a filter, a file system monitor, an editor, a hook. The session writes that
// configuration (its home's at will, a repository's for a moment before the
// guard), so that an approval of `git status` says nothing about such a program:
// it is a command of its own, were it make(1) of the system. Git's own programs,
// and those that it calls by name, are covered.
func (g *Gate) configured(a countersign.Action) bool {
	if g.cfg.Own || !ofGit(a.Peer.Exe) {
		return false
	}
	e := a.Exec
	if e.Writable {
		return true
	}
	return !ofGit(e.Exe.Path) && !helper(e)
}

// ofGit reports whether a program is git, or lies among git's own.
func ofGit(exe string) bool { return path.Base(exe) == "git" || path.Base(path.Dir(exe)) == "git-core" }

// helper reports whether git calls the program by its name. It covers nothing: a
// pager starts what its keys say.
func helper(e *countersign.Exec) bool {
	return strings.HasPrefix(e.Exe.Path, "/") && slices.Contains(byName, path.Base(e.Exe.Path))
}
