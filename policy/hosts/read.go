package hosts

import (
	"slices"

	"github.com/goccy/go-yaml/ast"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/strictyaml"
)

// Section is what one layer says of connections.
type Section struct {
	Network           []Rule
	Services, Publish []Port
}

// Words reads what every rule has, for a layer.
type Words struct {
	*strictyaml.Reader
	ID, Reason func(ast.Node) string
	Layer      string
	Pos        func(strictyaml.Pos) string // "file:line"
}

// maxPorts bounds the services of a layer: each is a socket of every session.
const maxPorts = 32

// Fields are the sections of a policy that this package reads.
func (s *Section) Fields(w Words) []strictyaml.Field {
	return []strictyaml.Field{
		{Name: "network", Read: func(n ast.Node) {
			for _, v := range w.List(n, "network") {
				s.Network = append(s.Network, w.host(v))
			}
		}},
		{Name: "services", Read: func(n ast.Node) { s.Services = w.ports(n, "services") }},
		{Name: "publish", Read: func(n ast.Node) { s.Publish = w.ports(n, "publish") }},
	}
}

func (w Words) verdict(n ast.Node) countersign.Verdict {
	return countersign.Verdict(w.OneOf(n, "verdict", "deny", "ask", "allow"))
}

func (w Words) host(n ast.Node) Rule {
	at := strictyaml.PosOf(n)
	out := Rule{Layer: w.Layer, At: at, Pos: w.Pos(at)}
	w.Mapping(n, "network", []strictyaml.Field{
		{Name: "id", Read: func(n ast.Node) { out.ID = w.ID(n) }},
		{Name: "verdict", Read: func(n ast.Node) { out.Verdict = w.verdict(n) }},
		{Name: "host", Read: func(n ast.Node) {
			out.Host = w.Text(n, "host")
			if err := checkPattern(out.Host); w.Err == nil && err != nil {
				w.Fail(n, "write a name, *.name, or an address", "host: %v", err)
			}
		}},
		{Name: "port", Read: func(n ast.Node) { out.Port = w.Number(n, "port", 1, 65535) }},
		{Name: "reason", Read: func(n ast.Node) { out.Reason = w.Reason(n) }},
		{Name: "match", Read: func(n ast.Node) { out.Match = w.texts(n, "match") }},
		{Name: "not_match", Read: func(n ast.Node) { out.NotMatch = w.texts(n, "not_match") }},
	})
	w.need(n, "network", "id", out.ID != "")
	w.need(n, "network", "verdict", out.Verdict != "")
	w.need(n, "network", "host", out.Host != "")
	w.need(n, "network", "reason", out.Reason != "")
	w.sense(n, out)
	return out
}

// sense refuses an allow or ask that could not mean what its writer thinks.
func (w Words) sense(n ast.Node, r Rule) {
	if w.Err != nil || r.Verdict == countersign.Deny {
		return
	}
	if what := closedFor(r.Host); what != "" {
		w.Fail(n, "the network leads to public hosts only; a port of this machine has its own section, services", "rule %s: %s is %s, and is never reached", r.ID, r.Host, what)
		return
	}
	if r.Verdict == countersign.Ask {
		return
	}
	if r.Port == 0 {
		w.Fail(n, "add port: 443", "rule %s: an allow names its port", r.ID)
	} else if r.Host == "*" {
		w.Fail(n, "name the host", "rule %s: an allow must name its host; there is no blanket grant", r.ID)
	}
}

func (w Words) ports(n ast.Node, what string) []Port {
	var out []Port
	nodes := w.List(n, what)
	if len(nodes) > maxPorts {
		w.Fail(n, "list those that are needed", "%s: more than %d", what, maxPorts)
	}
	for _, v := range nodes {
		at := strictyaml.PosOf(v)
		p := Port{Layer: w.Layer, At: at, Pos: w.Pos(at)}
		w.Mapping(v, what, []strictyaml.Field{
			{Name: "id", Read: func(n ast.Node) { p.ID = w.ID(n) }},
			{Name: "verdict", Read: func(n ast.Node) { p.Verdict = w.verdict(n) }},
			{Name: "port", Read: func(n ast.Node) { p.Port = w.port(n, what) }},
			{Name: "reason", Read: func(n ast.Node) { p.Reason = w.Reason(n) }},
		})
		w.need(v, what, "id", p.ID != "")
		w.need(v, what, "verdict", p.Verdict != "")
		w.need(v, what, "port", p.Port != 0)
		w.need(v, what, "reason", p.Reason != "")
		out = append(out, p)
	}
	return out
}

// Doors are the ports of the loopback inside that are the session's own: the
// resolver's, the gateway's and the network door's.
func Doors() []int { return []int{53, 4141, 4142} }

func (w Words) port(n ast.Node, what string) int {
	port := w.Number(n, what+".port", 1, 65535)
	if w.Err == nil && slices.Contains(Doors(), port) {
		w.Fail(n, "use another port", "%s: inside, port %d is one of the session's own doors", what, port)
	}
	return port
}

func (w Words) texts(n ast.Node, what string) []string {
	out := []string{}
	for _, v := range w.List(n, what) {
		out = append(out, w.Text(v, what))
	}
	return out
}

func (w Words) need(n ast.Node, what, name string, have bool) {
	if w.Err == nil && !have {
		w.Fail(n, "add "+name, "%s: a rule needs %s", what, name)
	}
}

// Named is what every rule of the section has.
type Named struct {
	ID      string
	Verdict countersign.Verdict
	At      strictyaml.Pos
}

// IDs are all rules of the section.
func (s *Section) IDs() []Named {
	var out []Named
	for _, r := range s.Network {
		out = append(out, Named{r.ID, r.Verdict, r.At})
	}
	for _, p := range append(slices.Clone(s.Services), s.Publish...) {
		out = append(out, Named{p.ID, p.Verdict, p.At})
	}
	return out
}

// each returns a copy of the section with both kinds of its rules changed.
func (s *Section) each(rule func(*Rule), port func(*Port)) Section {
	out := Section{Network: slices.Clone(s.Network), Services: slices.Clone(s.Services), Publish: slices.Clone(s.Publish)}
	for i := range out.Network {
		rule(&out.Network[i])
	}
	for _, list := range [][]Port{out.Services, out.Publish} {
		for i := range list {
			port(&list[i])
		}
	}
	return out
}

// Of gives the section to a layer.
func (s *Section) Of(layer string) Section {
	return s.each(func(r *Rule) { r.Layer = layer }, func(p *Port) { p.Layer = layer })
}

// Renamed gives each rule another id.
func (s *Section) Renamed(name func(id string) string) Section {
	return s.each(func(r *Rule) { r.ID = name(r.ID) }, func(p *Port) { p.ID = name(p.ID) })
}

// Ports is the part of Canonical that came later: absent where it says nothing, a
// policy without it keeps its name.
type Ports struct {
	Services []Port `json:",omitempty"`
	Publish  []Port `json:",omitempty"`
}

// Canonical names the section by its content, without where it was written.
func (s *Section) Canonical() ([]Rule, Ports) {
	c := s.each(func(r *Rule) { r.Pos = "" }, func(p *Port) { p.Pos = "" })
	return c.Network, Ports{c.Services, c.Publish}
}
