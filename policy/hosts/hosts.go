// Package hosts is what a policy says of connections: the sections "network"
// (hosts outside), "services" (ports of this machine's loopback that are
// reachable inside) and "publish" (ports inside that this machine's loopback
// shows).
//
// It promises: deny beats ask beats allow whatever the order; where nothing
// matches, the answer is deny; a project's ask makes an allow ask, and opens
// nothing.
//
// It is pure, as package policy is.
package hosts

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/fold"
	"github.com/countersign/countersign/internal/special"
	"github.com/countersign/countersign/internal/strictyaml"
)

// The values of countersign.Net.Proto that rules are about.
const (
	Host    = "tcp"
	Service = "service"
	Publish = "publish"
)

// Rule is a rule on connections to a host.
type Rule struct {
	ID       string              `json:"id"`
	Verdict  countersign.Verdict `json:"verdict"`
	Host     string              `json:"host"` // name, "*.name" or address
	Port     int                 `json:"port,omitempty"`
	Reason   string              `json:"reason"`
	Match    []string            `json:"match,omitempty"` // HOST or HOST:PORT
	NotMatch []string            `json:"not_match,omitempty"`
	Layer    string              `json:"layer"`
	Pos      string              `json:"pos,omitempty"`
	At       strictyaml.Pos      `json:"-"`
}

// Port is a rule on a port of the loopback.
type Port struct {
	ID      string              `json:"id"`
	Verdict countersign.Verdict `json:"verdict"`
	Port    int                 `json:"port"`
	Reason  string              `json:"reason"`
	Layer   string              `json:"layer"`
	Pos     string              `json:"pos,omitempty"`
	At      strictyaml.Pos      `json:"-"`
}

func checkPattern(s string) error {
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
	case strings.Contains(name, ":") && strings.Trim(name, "0123456789abcdefABCDEF:.[]") != "":
		return errors.New("the port has its own field")
	}
	return nil
}

// closedFor says why an allow or ask of a host could never hold: the door leads to
// public hosts only.
func closedFor(host string) string {
	host = Fold(host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return "the loopback"
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return special.New().Why(a)
	}
	return ""
}

// Fold brings a host into the form under which it is compared: lower case, no
// trailing dot, an address as RFC 5952 writes it.
func Fold(s string) string {
	s = strings.TrimSuffix(strings.ToLower(s), ".")
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	if a, err := netip.ParseAddr(s); err == nil {
		return a.String()
	}
	return s
}

// Matches reports whether the rule is about a folded host and a port.
func (r *Rule) Matches(host string, port int) bool {
	if r.Port != 0 && r.Port != port {
		return false
	}
	want := Fold(r.Host)
	if want == "*" {
		return true
	}
	if rest, ok := strings.CutPrefix(want, "*."); ok {
		return len(host) > len(rest)+1 && strings.HasSuffix(host, rest) && host[len(host)-len(rest)-1] == '.'
	}
	return host == want
}

// Failing returns the first example that the rule does not hold to.
func (r *Rule) Failing() (example string, want, failing bool) {
	for i, x := range append(append([]string{}, r.Match...), r.NotMatch...) {
		want := i < len(r.Match)
		host, port := splitPort(x, r.Port)
		if r.Matches(Fold(host), port) != want {
			return x, want, true
		}
	}
	return "", false, false
}

func splitPort(s string, otherwise int) (string, int) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.Count(s, ":") > 1 && !strings.Contains(s, "]:") {
		return s, otherwise
	}
	n, err := strconv.Atoi(s[i+1:])
	if err != nil {
		return s, otherwise
	}
	return s[:i], n
}

// Ruled is a rule of a layer with its ruling.
type Ruled struct {
	Rule
	Ruling countersign.Ruling
	kind   string // Host, Service, Publish
}

// Rules is the sections of all layers put together, ready to be asked.
type Rules struct {
	rules []Ruled // in the order of layers, the project's last
	none  countersign.Ruling
	local *countersign.Ruling
}

// New returns the rules of no layer: none is the answer where nothing is said.
func New(none countersign.Ruling) Rules { return Rules{none: none} }

// Add puts one layer's section to the others; layers come strongest first.
func (r *Rules) Add(s *Section, ruling func(v countersign.Verdict, id, reason, layer, pos string) countersign.Ruling) {
	for _, h := range s.Network {
		r.rules = append(r.rules, Ruled{h, ruling(h.Verdict, h.ID, h.Reason, h.Layer, h.Pos), Host})
	}
	for kind, list := range map[string][]Port{Service: s.Services, Publish: s.Publish} {
		for _, p := range list {
			as := Rule{ID: p.ID, Verdict: p.Verdict, Host: "*", Port: p.Port, Reason: p.Reason, Layer: p.Layer, Pos: p.Pos, At: p.At}
			r.rules = append(r.rules, Ruled{as, ruling(p.Verdict, p.ID, p.Reason, p.Layer, p.Pos), kind})
		}
	}
}

// Confine has no host reached, whatever the rules say; the loopback is not meant.
func (r *Rules) Confine(by *countersign.Ruling) { r.local = by }

// Net says what policy says of a connection: n.Host as the program asked for it,
// a name or an address. "*.example.com" matches names below example.com, not
// itself.
func (r *Rules) Net(n countersign.Net) countersign.Ruling {
	if n.Proto == Host && r.local != nil {
		return *r.local
	}
	best, found := r.none, false
	for _, m := range r.Matching(n) {
		stricter := countersign.Stricter(best.Verdict, m.Verdict) != best.Verdict
		if stricter || !found && m.Layer != "project" {
			best = m.Ruling
		}
		found = found || m.Layer != "project"
	}
	return best
}

// Matching returns the rules that are about a connection.
func (r *Rules) Matching(n countersign.Net) []Ruled {
	var out []Ruled
	host := Fold(n.Host)
	for _, x := range r.rules {
		if x.kind == n.Proto && x.Matches(host, n.Port) {
			out = append(out, x)
		}
	}
	return out
}

// Open reports whether any host may be reached, or asked for.
func (r *Rules) Open() bool {
	return r.local == nil && slices.ContainsFunc(r.rules, func(x Ruled) bool {
		return x.kind == Host && x.Verdict != countersign.Deny && x.Layer != "project"
	})
}

// Ports returns the ports of services, or to be published, that are not denied.
func (r *Rules) Ports(kind string) []int {
	var out []int
	for _, x := range r.rules {
		if x.kind == kind && !slices.Contains(out, x.Port) && r.Net(countersign.Net{Proto: kind, Port: x.Port}).Verdict != countersign.Deny {
			out = append(out, x.Port)
		}
	}
	slices.Sort(out)
	return out
}
