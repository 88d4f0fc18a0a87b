package policy

import (
	"errors"
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/fold"
	"github.com/countersign/countersign/internal/glob"
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
// not change that: it makes an allow ask.
func (p *Policy) Host(host string, port int) countersign.Ruling {
	host = foldHost(host)
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

// fence is one layer's list of models.
type fence struct {
	globs  []modelPattern
	ruling countersign.Ruling
	where  string
}

type modelPattern struct {
	src             string
	provider, model glob.Glob
}

func compileModels(list []string) ([]modelPattern, error) {
	var out []modelPattern
	for _, s := range list {
		provider, model, _ := strings.Cut(strings.ToLower(s), "/")
		p, err := glob.Arg(provider)
		if err != nil {
			return nil, err
		}
		m, err := glob.Arg(model)
		if err != nil {
			return nil, err
		}
		out = append(out, modelPattern{s, p, m})
	}
	return out, nil
}

func firstModel(list []modelPattern, provider, model string) (string, bool) {
	for i := range list {
		if list[i].provider.Match(provider) && list[i].model.Match(model) {
			return list[i].src, true
		}
	}
	return "", false
}

// Model says whether a model may be asked. Every layer that has a list of
// allowed models must allow it, so that a layer can only narrow; a denied
// pattern of any layer denies; where no layer has a list, the verdict is deny.
// provider is the name it has in gateway.yaml. Names are compared without case.
func (p *Policy) Model(provider, model string) countersign.Ruling {
	provider, model = strings.ToLower(provider), strings.ToLower(model)
	for i := range p.modelDeny {
		if src, ok := firstModel(p.modelDeny[i].globs, provider, model); ok {
			r := p.modelDeny[i].ruling
			r.Reason = "models.deny has " + src
			return r
		}
	}
	if len(p.modelAllow) == 0 {
		r := p.denies
		r.Reason = "no layer allows any model"
		return r
	}
	var out countersign.Ruling
	for i := range p.modelAllow {
		f := &p.modelAllow[i]
		src, ok := firstModel(f.globs, provider, model)
		out = f.ruling
		if !ok {
			out.Verdict, out.Reason = countersign.Deny, "not among models.allow of "+f.where
			return out
		}
		out.Reason = "models.allow has " + src
	}
	return out
}
