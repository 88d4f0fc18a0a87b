package policy

import (
	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/policy/hosts"
	"github.com/countersign/countersign/policy/models"
)

// Hosts are all rules on connections, for the network door.
func (p *Policy) Hosts() *hosts.Rules { return &p.hosts }

// Net says what policy says of a connection. Where models.local_only is said, no
// host is reached.
func (p *Policy) Net(n countersign.Net) countersign.Ruling { return p.hosts.Net(n) }

// Host says what policy says of a connection to a host.
func (p *Policy) Host(host string, port int) countersign.Ruling {
	return p.hosts.Net(countersign.Net{Proto: hosts.Host, Host: host, Port: port})
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
