package egress

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// target is where a client wants to go: a name in its one form, or an address.
type target struct {
	host string // lower case, without a trailing dot; an address as RFC 5952 writes it
	addr netip.Addr
	port int
}

func (t target) String() string { return net.JoinHostPort(t.host, strconv.Itoa(t.port)) }

// named is the target as Host says it: without the port that http has anyway.
func (t target) named() string {
	if t.port != 80 {
		return t.String()
	}
	if t.addr.Is6() {
		return "[" + t.host + "]"
	}
	return t.host
}

var (
	errUser    = errors.New("it names a user")
	errPort    = errors.New("it needs a port from 1 to 65535, in decimal")
	errHost    = errors.New("the host is neither a name in ASCII nor an address in its usual form")
	errAddress = errors.New("an address is four decimal numbers, or stands in brackets")
)

// parseAuthority reads HOST[:PORT] (RFC 3986, 3.2, without a user). Only one
// writing of each host passes: what a resolver elsewhere could take for an address
// (octal, hexadecimal, one number) is refused. otherwise is the port where none is
// given; 0: one is needed.
func parseAuthority(s string, otherwise int) (target, error) {
	if strings.Contains(s, "@") {
		return target{}, errUser
	}
	host, port, found := s, "", false
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return target{}, errHost
		}
		host, port = s[1:end], s[end+1:]
		if port != "" {
			if port, found = strings.CutPrefix(port, ":"); !found {
				return target{}, errHost
			}
		}
		if !strings.Contains(host, ":") {
			return target{}, errAddress
		}
	} else {
		host, port, found = strings.Cut(s, ":")
		if strings.Contains(port, ":") {
			return target{}, errAddress
		}
	}
	t, err := parseHost(host)
	if err != nil {
		return target{}, err
	}
	t.port = otherwise
	if found {
		t.port = decimal(port)
	}
	if t.port == 0 {
		return target{}, errPort
	}
	return t, nil
}

// decimal reads a port; what is none gives 0.
func decimal(s string) int {
	if s == "" || len(s) > 5 || s[0] == '0' || strings.Trim(s, "0123456789") != "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil || n > 65535 {
		return 0
	}
	return n
}

// parseHost reads a name or an address, without brackets.
func parseHost(s string) (target, error) {
	if strings.Contains(s, ":") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return target{}, errHost
		}
		return target{host: a.String(), addr: a}, nil
	}
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return target{}, errHost
		}
	}
	if len(s) > 253 {
		return target{}, errHost
	}
	last := labels[len(labels)-1]
	if strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") && strings.Trim(last[2:], "0123456789abcdef") == "" {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return target{}, errAddress
		}
		return target{host: a.String(), addr: a}, nil
	}
	return target{host: s}, nil
}
