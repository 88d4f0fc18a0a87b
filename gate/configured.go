package gate

import (
	"path"
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/interp"
)

// configured reports whether git starts what its configuration names: an alias,
// a filter, a file system monitor, an editor, a hook. The session writes that
// configuration (its home's at will, a repository's for a moment before the
// guard), so that an approval of `git status` says nothing about such a program:
// it is a command of its own. Git's own programs, and those of the system that
// it calls by name, are covered.
func (g *Gate) configured(a countersign.Action) bool {
	by := a.Peer.Exe
	if g.cfg.Own || path.Base(by) != "git" && path.Base(path.Dir(by)) != "git-core" {
		return false
	}
	e := a.Exec
	if e.Writable || len(e.Interp) > 0 {
		return e.Writable
	}
	p := interp.Parse(e.Exe.Path, e.Argv)
	return p.Known && (p.Inline || p.Stdin || len(p.Scripts) > 0 && !strings.HasPrefix(p.Scripts[0], "/usr/"))
}
