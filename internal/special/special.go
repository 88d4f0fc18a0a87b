// Package special knows the addresses that are no public host's: this machine,
// private networks, the clouds' metadata, and forms that carry another address
// inside. It is pure.
package special

import "net/netip"

// blocks are IANA's special-purpose registries (RFC 6890 and its successors) but
// for the ranges of documentation, which no network has, and the clouds' own
// addresses. The first that holds an address names it.
func blocks() []block {
	return []block{
		{"169.254.169.254/32", metadata},
		{"100.100.100.200/32", metadata},
		{"168.63.129.16/32", metadata},
		{"192.0.0.192/32", metadata},
		{"fd00:ec2::254/128", metadata},
		{"fd20:ce::254/128", metadata},
		{"0.0.0.0/8", "this machine (RFC 791)"},
		{"10.0.0.0/8", private},
		{"172.16.0.0/12", private},
		{"192.168.0.0/16", private},
		{"100.64.0.0/10", "shared by a carrier's customers (RFC 6598)"},
		{"127.0.0.0/8", loopback},
		{"169.254.0.0/16", linkLocal},
		{"192.0.0.0/24", "kept for protocols (RFC 6890)"},
		{"192.88.99.0/24", "a 6to4 relay (RFC 7526)"},
		{"198.18.0.0/15", "kept for benchmarks (RFC 2544)"},
		{"224.0.0.0/4", multicast},
		{"240.0.0.0/4", "reserved (RFC 1112)"},
		{"::/128", "this machine (RFC 4291)"},
		{"::1/128", loopback},
		{"::ffff:0:0/96", "an IPv4 address in another form"},
		{"::/96", "an IPv4 address in another form"},
		{"::ffff:0:0:0/96", "an IPv4 address in another form"},
		{"64:ff9b::/96", "translated to IPv4 (RFC 6052)"},
		{"64:ff9b:1::/48", "translated to IPv4 (RFC 8215)"},
		{"100::/64", "discarded (RFC 6666)"},
		{"2001::/23", "kept for protocols (RFC 2928), Teredo among them"},
		{"2002::/16", "a 6to4 address (RFC 3056)"},
		{"5f00::/16", "segment routing (RFC 9602)"},
		{"fc00::/7", private},
		{"fe80::/10", linkLocal},
		{"fec0::/10", private},
		{"ff00::/8", multicast},
	}
}

const (
	metadata  = "the cloud's metadata"
	private   = "private"
	loopback  = "the loopback"
	linkLocal = "link-local"
	multicast = "multicast"
)

type block struct{ prefix, what string }

// Table is the blocks, ready to be asked.
type Table struct {
	prefixes []netip.Prefix
	what     []string
}

// New returns the table.
func New() *Table {
	t := &Table{}
	for _, b := range blocks() {
		t.prefixes = append(t.prefixes, netip.MustParsePrefix(b.prefix))
		t.what = append(t.what, b.what)
	}
	return t
}

// Why says what an address is, if it is no public host's; else it is empty. An
// address with a zone is this machine's own business, and so is none.
func (t *Table) Why(a netip.Addr) string {
	if !a.IsValid() {
		return "no address"
	}
	if a.Zone() != "" {
		return "an address with a zone"
	}
	for i, p := range t.prefixes {
		if p.Contains(a) {
			return t.what[i]
		}
	}
	return ""
}
