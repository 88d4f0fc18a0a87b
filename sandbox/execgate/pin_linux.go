//go:build amd64 || arm64

package execgate

import (
	"path"
	"slices"
	"strings"
	"sync"
)

// pins are the scripts of one command that its interpreter has yet to open,
// and the sealed copies that lie over them.
type pins struct {
	once sync.Once
	list []pinned
	node bool // the interpreter resolves names by itself before it opens them
	more bool // it may open its program again: python looks first whether it is an archive
	held bool // the program has been opened
}

// pinned is one script. Without Dev and Ino nothing may be opened by its name.
type pinned struct {
	Pin
	paths []string // absolute names that stand for it; none: another process opens it
	main  bool     // once it is open, the interpreter has its program
}

// any reports whether there is something to watch for.
func (p *pins) any() bool {
	return p != nil && slices.ContainsFunc(p.list, func(one pinned) bool { return one.paths != nil })
}

func (p *pins) release() {
	if p == nil {
		return
	}
	p.once.Do(func() {
		for _, one := range p.list {
			if one.Release != nil {
				one.Release()
			}
		}
	})
}

// pin seals the scripts of a decided command that lie where the session can
// write. An error's text says why that was not possible; then it must not run.
func (w *worker) pin(p *plan, covered bool) (*pins, string) {
	if covered {
		in := w.inherited()
		if in != nil {
			in.node, in.more = in.node || p.node, !p.once
		}
		return in, ""
	}
	out := &pins{node: p.node, more: !p.once}
	for _, o := range p.operands {
		s := p.exec.Scripts[o.script]
		one := pinned{main: o.main}
		if o.watch {
			one.paths = []string{path.Clean(w.abs(p, o.name)), s.Path}
		}
		if s.SHA256 == "" {
			out.list = append(out.list, one)
			continue
		}
		if !o.writable {
			continue
		}
		why := ""
		if one.Pin, why = w.s.cfg.Seals.take(s); why != "" {
			out.release()
			return nil, why
		}
		out.list = append(out.list, one)
	}
	if len(out.list) == 0 {
		return nil, ""
	}
	return out, ""
}

// inherited are the pins of this process's own earlier exec whose scripts were
// not opened yet: `#!/usr/bin/env NAME` runs NAME in its place.
func (w *worker) inherited() *pins {
	if img := w.s.tree.image(w.t.tgid, w.t.who.ID); img != nil {
		return img.pins
	}
	return nil
}

// judge says what an opened file means: the program itself (done), nothing, or
// another file in the program's place. Once the program is held, only what is
// opened by its very name counts: the rest is the program's own business.
func (p *pins) judge(name string, dev, ino uint64, writable func(string) bool) (done bool, why string) {
	for i, one := range p.list {
		if one.Ino == 0 || one.Dev != dev || one.Ino != ino {
			continue
		}
		if one.main && !slices.Contains(one.paths, name) {
			p.list[i].paths = append(one.paths, name)
		}
		return one.main, ""
	}
	for _, one := range p.list {
		if slices.Contains(one.paths, name) {
			return false, "another file stood in the place of its script " + name
		}
		if !p.held && len(one.paths) > 0 && path.Base(one.paths[0]) == path.Base(name) && writable(name) {
			return false, "its script was opened elsewhere: " + name
		}
	}
	if !p.held && p.node && writable(name) && !aside(name) {
		return false, "another file was opened in place of its script: " + name
	}
	return false, ""
}

// aside reports whether a module loader may read a file before its program, for
// another reason than to run it as such. The loader resolves links by itself, so
// that the name of its program may be any.
func aside(name string) bool {
	for _, dir := range []string{"/proc/", "/sys/", "/dev/", "/etc/"} {
		if strings.HasPrefix(name, dir) {
			return true
		}
	}
	return path.Base(name) == "package.json" || strings.Contains(name, "/node_modules/")
}
