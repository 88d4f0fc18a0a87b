//go:build amd64 || arm64

package live

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/egress"
	"github.com/countersign/countersign/gate"
	"github.com/countersign/countersign/internal/sockdiag"
	"github.com/countersign/countersign/internal/sockowner"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/policy/hosts"
)

// proxyPort is where the network door stands inside a session that has one.
const proxyPort = 4142

// doorPorts are the ports inside that the network door serves: the proxy's, if
// there is one, then those of the services.
func doorPorts(p *policy.Policy) (ports []int) {
	if p.Hosts().Open() {
		ports = append(ports, proxyPort)
	}
	return append(ports, p.Hosts().Ports(hosts.Service)...)
}

// proxyEnv tells programs of the proxy. What runs on the loopback is reached
// without it: the session's gateway, its services, and what the agent starts.
func proxyEnv(p *policy.Policy) (env []string) {
	if !p.Hosts().Open() {
		return nil
	}
	for name, value := range map[string]string{
		"http_proxy": proxyURL(), "https_proxy": proxyURL(), "no_proxy": "localhost,127.0.0.1,::1",
	} {
		env = append(env, name+"="+value, strings.ToUpper(name)+"="+value)
	}
	slices.Sort(env)
	// Node's own fetch and Yarn do not look at these by themselves.
	return append(env, "NODE_USE_ENV_PROXY=1", "YARN_HTTP_PROXY="+proxyURL(), "YARN_HTTPS_PROXY="+proxyURL())
}

func proxyURL() string { return fmt.Sprintf("http://127.0.0.1:%d", proxyPort) }

// doorMechanism says in the posture what a session may reach.
func doorMechanism(p *policy.Policy) []countersign.Mechanism {
	var parts []string
	if p.Hosts().Open() {
		parts = append(parts, "hosts by rule, through a proxy")
	}
	for kind, what := range map[string]string{hosts.Service: "services of this machine", hosts.Publish: "published"} {
		if ports := p.Hosts().Ports(kind); len(ports) > 0 {
			parts = append(parts, fmt.Sprintf("%s: ports %s", what, strings.Trim(fmt.Sprint(ports), "[]")))
		}
	}
	if len(parts) == 0 {
		return nil
	}
	slices.Sort(parts)
	return []countersign.Mechanism{{Name: "network-door", State: "ok", Detail: strings.Join(parts, "; ")}}
}

// startEgress serves the network door, if the policy has one.
func (s *live) startEgress() error {
	ports, publish := doorPorts(s.policy), s.policy.Hosts().Ports(hosts.Publish)
	if len(ports)+len(publish) == 0 {
		return nil
	}
	diag, err := s.box.Diag()
	if err != nil {
		return err
	}
	s.parts.Add(func() { diag.Close() })
	inside := sockowner.Of(s.box.InitPID, int(diag.Fd()))
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var dialer net.Dialer
	s.egress = egress.New(egress.Config{
		Judge: netJudge{s.gate, s.policy, s.fail}, Session: s.id, Resolve: resolve, Own: ownAddresses, Peer: inside.TCP, Now: s.Now,
		Dial: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", to.String())
		},
		Taken: func(port int) bool { return taken(filepath.Base(self), port) },
	})
	s.parts.Add(s.egress.Close)
	for i, port := range ports {
		serve := func() error { return s.egress.Service(s.box.Doors[i], port) }
		if port == proxyPort {
			serve = func() error { return s.egress.Proxy(s.box.Doors[i]) }
		}
		go func() {
			if err := serve(); err != nil && s.ctx.Err() == nil {
				s.log.Warn("a port of the network door closed", "port", port, "err", err)
			}
		}()
	}
	if len(publish) > 0 {
		s.publish(inside, publish)
	}
	return nil
}

// taken reports whether a program of Countersign's name listens on a port of this
// machine; where that cannot be told, one may.
func taken(program string, port int) bool {
	diag, err := sockdiag.Open()
	if err != nil {
		return true
	}
	defer unix.Close(diag)
	return sockowner.Of(os.Getpid(), diag).Serves(program, port)
}

// lookEvery is how often published ports are looked for inside: /proc tells
// nobody.
const lookEvery = 300 * time.Millisecond

func (s *live) publish(inside *sockowner.Namespace, ports []int) {
	tick := time.NewTicker(lookEvery)
	s.parts.Add(tick.Stop)
	own := append(doorPorts(s.policy), hosts.Doors()...)
	go s.egress.Publish(egress.Inside{
		Ports: ports,
		Listen: func(port int) (net.Listener, error) {
			return net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		},
		Dial: func(_ context.Context, port int) (net.Conn, error) { return s.box.Dial(port) },
		Listening: func() []int {
			return slices.DeleteFunc(inside.Listening(), func(port int) bool { return slices.Contains(own, port) })
		},
		Owner: func(port int) countersign.Peer {
			if peers := inside.Listeners(port); len(peers) > 0 {
				return peers[0]
			}
			return countersign.Peer{}
		},
	}, tick.C)
}

// resolve finds a host's addresses as this machine does, without the domains that
// it searches for short names.
func resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	r := &net.Resolver{PreferGo: true}
	addrs, err := r.LookupNetIP(ctx, "ip", host+".")
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, err
}

func ownAddresses() (out []netip.Addr, err error) {
	addrs, err := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				out = append(out, ip.Unmap())
			}
		}
	}
	return out, err
}

// netJudge lets the network door ask policy and gate: it translates, nothing more.
type netJudge struct {
	gate   *gate.Gate
	policy *policy.Policy
	fail   func(error) // ends the session: something could not be recorded
}

// Rule is what policy says.
func (j netJudge) Rule(n countersign.Net) countersign.Ruling { return j.policy.Net(n) }

// Connect decides a connection.
func (j netJudge) Connect(ctx context.Context, a countersign.Action) (countersign.Permit, error) {
	p, err := j.gate.Connect(ctx, a)
	if countersign.CodeOf(err) == countersign.EClosed {
		j.fail(err)
	}
	return p, err
}

// Refused records a refusal.
func (j netJudge) Refused(a countersign.Action, r countersign.Ruling, count int) {
	if err := j.gate.Refused(a, r, "", count); err != nil {
		j.fail(err)
	}
}

// Withdraw records that what was permitted is refused.
func (j netJudge) Withdraw(p countersign.Permit, r countersign.Ruling) {
	if err := j.gate.Withdraw(p, r); err != nil {
		j.fail(err)
	}
}

// Ended records how a connection ended.
func (j netJudge) Ended(p countersign.Permit, o countersign.Outcome, t egress.Traffic) {
	detail := map[string]any{"sent": t.Sent, "received": t.Received, "ms": t.Took.Milliseconds()}
	if t.Address != "" {
		detail["address"] = t.Address
	}
	if t.Connections > 0 {
		detail["connections"] = t.Connections
	}
	j.gate.Disconnected(p, o, detail)
}
