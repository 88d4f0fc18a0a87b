package apply

import (
	"errors"
	"io/fs"
	"maps"
	"path"

	"github.com/countersign/countersign/workspace/tree"
)

// vacated are the paths that the plan empties, as far as it has come.
func (p *plan) vacated() map[string]bool {
	m := maps.Clone(p.leaving)
	for n, v := range p.cur {
		if v == nil && p.real[n] != nil {
			m[n] = true
		}
	}
	for _, g := range p.groups {
		if g.stale == "" && (g.post == nil || g.from != g.to) {
			m[g.from] = true
		}
	}
	return m
}

// above are the directories that the files which earlier steps make lie in.
func (p *plan) above(gone map[string]bool) map[string]bool {
	m := map[string]bool{}
	for n, v := range p.cur {
		if v == nil || gone[n] || p.real[n] != nil {
			continue
		}
		for d := path.Dir(n); d != "." && !m[d]; d = path.Dir(d) {
			m[d] = true
		}
	}
	return m
}

// blocked says why a group's target cannot be written, or "".
func (p *plan) blocked(g *group, gone, above map[string]bool) string {
	if g.post == nil {
		return ""
	}
	if above[g.to] {
		return "a directory of that name is there"
	}
	for d := path.Dir(g.to); d != "."; d = path.Dir(d) {
		info, err := p.root.Lstat(d)
		switch {
		case p.cur[d] != nil && !gone[d]:
			return "a file stands where its directory should be"
		case err == nil && info.Mode&fs.ModeSymlink != 0, errors.Is(err, tree.ErrRefused):
			return "a directory on the way to it is a symlink"
		case err == nil && !info.Mode.IsDir() && !gone[d]:
			return "a file stands where its directory should be"
		}
	}
	if info, err := p.root.Lstat(g.to); err == nil && info.Mode.IsDir() && !p.empties(g.to, gone) {
		return "a directory of that name is there"
	}
	if g.from != g.to && p.cur[g.to] != nil && !gone[g.to] {
		return "a file of that name is there now"
	}
	return ""
}

// empties reports whether all that a directory holds goes.
func (p *plan) empties(d string, gone map[string]bool) bool {
	es, err := p.root.ReadDir(d)
	if err != nil {
		return false
	}
	for _, e := range es {
		n := d + "/" + e.Name()
		if !gone[n] && !(e.IsDir() && p.empties(n, gone)) {
			return false
		}
	}
	return true
}
