// Package loopback tells this machine from all others, by the host that an
// address names. It is pure: no name is resolved.
package loopback

import "net"

// Is reports whether a host, without brackets or a port, is this machine's
// loopback: "localhost", or an address that is (RFC 1122, 3.2.1.3; RFC 4291, 2.5.3).
func Is(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
