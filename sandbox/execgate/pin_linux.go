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
}

// pinned is one script. Without Dev and Ino nothing may be opened by its name.
type pinned struct {
	Pin
	paths []string // absolute names that stand for it
	main  bool     // once it is open, the interpreter has its program
}

func (p *pins) any() bool { return p != nil && len(p.list) > 0 }

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
			in.node = in.node || p.node
		}
		return in, ""
	}
	out := &pins{node: p.node}
	for _, o := range p.operands {
		s := p.exec.Scripts[o.script]
		one := pinned{paths: []string{path.Clean(w.abs(p, o.name)), s.Path}, main: o.script == len(p.exec.Scripts)-1}
		if s.SHA256 == "" {
			out.list = append(out.list, one)
			continue
		}
		if !o.writable {
			continue
		}
		why := ""
		if one.Pin, why = w.seal(s.Path, s.Content); why != "" {
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

func (w *worker) seal(name string, content []byte) (Pin, string) {
	if w.s.cfg.Pinner == nil || content == nil {
		return Pin{}, "its script lies where the session can write, and cannot be sealed"
	}
	p, err := w.s.cfg.Pinner.Pin(name, content)
	if err != nil {
		return Pin{}, "its script could not be sealed: " + err.Error()
	}
	return p, ""
}

// inherited are the pins of this process's own earlier exec whose scripts were
// not opened yet: `#!/usr/bin/env NAME` runs NAME in its place.
func (w *worker) inherited() *pins {
	if img := w.s.tree.image(w.t.tgid, w.t.start); img != nil {
		return img.pins
	}
	return nil
}

// judge says what an opened file means: the program itself (done), nothing, or
// another file in the program's place.
func (p *pins) judge(name string, dev, ino uint64, writable func(string) bool) (done bool, why string) {
	for _, one := range p.list {
		if one.Ino != 0 && one.Dev == dev && one.Ino == ino {
			return one.main, ""
		}
	}
	for _, one := range p.list {
		if slices.Contains(one.paths, name) {
			return false, "another file stood in the place of its script " + name
		}
		if path.Base(one.paths[0]) == path.Base(name) && writable(name) {
			return false, "its script was opened elsewhere: " + name
		}
	}
	if p.node && isModule(name) && writable(name) {
		return false, "another script was opened in its place: " + name
	}
	return false, ""
}

func isModule(name string) bool {
	switch path.Ext(name) {
	case ".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".jsx", ".tsx":
		return !strings.Contains(name, "/node_modules/")
	}
	return false
}
