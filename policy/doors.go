package policy

import (
	"errors"
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/fold"
	"github.com/countersign/countersign/policy/models"
)

// hostRule is a host rule ready to be asked.
type hostRule struct {
	*HostRule
	ruling countersign.Ruling
}

func checkHostPattern(s string) error {
	name := strings.TrimPrefix(s, "*.")
	switch {
	case s == "*":
		return nil
	case name == "" || !fold.ASCII(s):
		return errors.New("not a name in ASCII (write the xn-- form)")
	case strings.Contains(s, "://") || strings.Contains(s, "/"):
		return errors.New("a host, not an address of a page: no scheme and no path")
	case strings.ContainsAny(name, "* \t\n\\"):
		return errors.New(`"*." stands only at the beginning`)
	case strings.Contains(name, ":") && strings.Trim(name, "0123456789abcdefABCDEF:.") != "":
		return errors.New("the port has its own field")
	}
	return nil
}

func foldHost(s string) string {
	s = strings.TrimSuffix(strings.ToLower(s), ".")
	return strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
}

func (r *HostRule) matches(host string, port int) bool {
	if r.Port != 0 && r.Port != port {
		return false
	}
	want := foldHost(r.Host)
	if want == "*" {
		return true
	}
	if rest, ok := strings.CutPrefix(want, "*."); ok {
		return len(host) > len(rest)+1 && strings.HasSuffix(host, rest) && host[len(host)-len(rest)-1] == '.'
	}
	return host == want
}

// Host says what policy says of a connection: host as the program asked for it,
// a name or an address. "*.example.com" matches names below example.com, not
// itself. Where nothing matches, the verdict is deny, and a project's ask does
// not change that: it makes an allow ask. Where models.local_only is said, nothing is
// reached.
func (p *Policy) Host(host string, port int) countersign.Ruling {
	host = foldHost(host)
	if local := p.models.LocalOnly(); local != nil {
		return *local
	}
	best, found := p.denies, false
	for i := range p.hosts {
		r := &p.hosts[i]
		if !r.matches(host, port) {
			continue
		}
		stricter := countersign.Stricter(best.Verdict, r.Verdict) != best.Verdict
		// The hosts are in the order of layers, the project's last.
		if stricter || !found && r.Layer != LayerProject {
			best = r.ruling
		}
		found = found || r.Layer != LayerProject
	}
	return best
}

// Model says whether a model may be asked. Every layer that has a list of
// allowed models must allow it, so that a layer can only narrow; a denied
// pattern of any layer denies; where no layer has a list, the verdict is deny.
// provider is the name it has in gateway.yaml. Names are compared without case.
func (p *Policy) Model(provider, model string) countersign.Ruling {
	return p.models.Model(provider, model)
}

// Models are all rules on models, for the gateway.
func (p *Policy) Models() *models.Rules { return &p.models }

// Feature says whether a request may ask for what happens at the provider, out
// of the gateway's sight: kind is one of models.Kinds, detail the vendor's word
// for it. Where no layer has a list, the verdict is deny.
func (p *Policy) Feature(kind, detail string) countersign.Ruling {
	return p.models.Feature(kind, detail)
}

// addModels puts one layer's rules on models to those of the others.
func (p *Policy) addModels(d *Document) error {
	f := p.models.Add(&d.Models, func(v countersign.Verdict, id, reason string, at Pos) countersign.Ruling {
		return p.ruling(v, id, reason, d.Layer, d.pos(at))
	})
	if f != nil {
		return d.fault(f.At, "", "%v", f.Err)
	}
	return nil
}
