//go:build amd64 || arm64

package selftest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dialTime is how long one that nobody refuses may take.
const dialTime = 3 * time.Second

func socketAttempts() map[string]attempt {
	return map[string]attempt{
		"socket": done(func(a []string) error {
			fd, err := unix.Socket(number(a[0]), number(a[1]), number(a[2]))
			if err == nil {
				unix.Close(fd)
			}
			return err
		}),
		"socketpair": done(func(a []string) error {
			_, err := unix.Socketpair(number(a[0]), unix.SOCK_STREAM, 0)
			return err
		}),
		"dial": done(func(a []string) error {
			c, err := net.DialTimeout(a[0], a[1], dialTime)
			if err == nil {
				c.Close()
			}
			return err
		}),
		"echo":       done(echo),
		"interfaces": done(interfaces),
		"passfd":     passDescriptor,
	}
}

func networkAttempts() map[string]attempt {
	to := func(kind, proto int, f func(fd int, sa unix.Sockaddr, raw []byte) error) attempt {
		return done(func(a []string) error {
			fd, sa, raw, err := open(kind, proto, a)
			if err != nil {
				return fmt.Errorf("%w: %w", errUnmade, err)
			}
			defer unix.Close(fd)
			return f(fd, sa, raw)
		})
	}
	connect := func(fd int, sa unix.Sockaddr, _ []byte) error { return unix.Connect(fd, sa) }
	return map[string]attempt{
		"tcp":   to(unix.SOCK_STREAM, 0, connect),
		"udp":   to(unix.SOCK_DGRAM, 0, connect),
		"mptcp": to(unix.SOCK_STREAM, unix.IPPROTO_MPTCP, connect),
		"sendto": to(unix.SOCK_DGRAM, 0, func(fd int, sa unix.Sockaddr, _ []byte) error {
			return unix.Sendto(fd, []byte("x"), 0, sa)
		}),
		"fastopen": to(unix.SOCK_STREAM, 0, func(fd int, sa unix.Sockaddr, _ []byte) error {
			return unix.Sendto(fd, []byte("x"), unix.MSG_FASTOPEN, sa)
		}),
		"sendmsg": to(unix.SOCK_DGRAM, 0, func(fd int, sa unix.Sockaddr, _ []byte) error {
			return unix.Sendmsg(fd, []byte("x"), nil, sa, 0)
		}),
		"sendmmsg":       to(unix.SOCK_DGRAM, 0, sendMany),
		"dns":            done(resolve),
		"proxy":          done(proxy),
		"gateway":        done(func(a []string) error { return askGateway("GET /v1/models HTTP/1.1", "127.0.0.1", a[0]) }),
		"gatewayconnect": done(func(a []string) error { return askGateway("CONNECT "+a[0]+" HTTP/1.1", a[0], "") }),
	}
}

// open makes a socket for an address, and the address as the kernel reads it.
func open(kind, proto int, a []string) (fd int, sa unix.Sockaddr, raw []byte, err error) {
	ip, err := netip.ParseAddr(a[0])
	if err != nil {
		return -1, nil, nil, err
	}
	port := number(a[1])
	family := unix.AF_INET
	sa4 := &unix.SockaddrInet4{Port: port}
	if sa = sa4; ip.Is4() {
		sa4.Addr = ip.As4()
		raw = []byte{unix.AF_INET, 0, byte(port >> 8), byte(port), sa4.Addr[0], sa4.Addr[1], sa4.Addr[2], sa4.Addr[3], 0, 0, 0, 0, 0, 0, 0, 0}
	} else {
		family, sa = unix.AF_INET6, &unix.SockaddrInet6{Port: port, Addr: ip.As16()}
	}
	fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC, proto)
	return fd, sa, raw, err
}

// sendMany is sendmmsg(2) of one message.
func sendMany(fd int, _ unix.Sockaddr, raw []byte) error {
	text := []byte("x")
	iov := unix.Iovec{Base: &text[0], Len: 1}
	msg := struct {
		hdr unix.Msghdr
		n   uint32
		_   uint32
	}{hdr: unix.Msghdr{Name: &raw[0], Namelen: uint32(len(raw)), Iov: &iov, Iovlen: 1}}
	return call(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&msg)), 1, 0)
}

// echo sends a datagram to who answers.
func echo(a []string) error {
	c, err := net.Dial("udp", a[0])
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	_, err = c.Read(make([]byte, 10))
	return err
}

func interfaces([]string) error {
	names, err := os.ReadDir("/sys/class/net")
	if err == nil && len(names) < 2 {
		return errNot
	}
	return err
}

// passDescriptor sends an open file to another of its own sockets, and reads there.
func passDescriptor(a []string) ([]byte, error) {
	fd, err := unix.Open(a[0], unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Sendmsg(pair[0], []byte("x"), unix.UnixRights(fd), nil, 0); err != nil {
		return nil, err
	}
	oob := make([]byte, 64)
	_, n, _, _, err := unix.Recvmsg(pair[1], make([]byte, 1), oob, 0)
	if err != nil {
		return nil, err
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(msgs) == 0 {
		return nil, errNot
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		return nil, err
	}
	return drain(fds[0], nil)
}

// resolve asks the resolver of the view for a name's address.
func resolve(a []string) error {
	c, err := net.Dial("udp", "127.0.0.1:53")
	if err != nil {
		return err
	}
	defer c.Close()
	q := []byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0} // RFC 1035, 4.1.1
	for label := range strings.SplitSeq(a[0], ".") {
		q = append(append(q, byte(len(label))), label...)
	}
	if _, err := c.Write(append(q, 0, 0, 1, 0, 1)); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(dialTime))
	b := make([]byte, 512)
	n, err := c.Read(b)
	if err != nil {
		return err
	}
	if n >= 12 && b[3]&0xf == 0 && (b[6] != 0 || b[7] != 0) {
		return nil
	}
	return errors.New("no such name")
}

// askGateway makes one request of the session's gateway; it succeeds if that takes it.
func askGateway(line, host, token string) error {
	return ask("127.0.0.1:4141", line, host, token)
}

func proxy(a []string) error {
	for _, name := range []string{"https_proxy", "HTTPS_PROXY"} {
		if at, ok := strings.CutPrefix(os.Getenv(name), "http://"); ok {
			return ask(strings.TrimSuffix(at, "/"), "CONNECT "+a[0]+" HTTP/1.1", a[0], "")
		}
	}
	return errUnmade
}

func ask(at, line, host, token string) error {
	c, err := net.DialTimeout("tcp", at, dialTime)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnmade, err)
	}
	defer c.Close()
	req := line + "\r\nHost: " + host + "\r\nConnection: close\r\n"
	if token != "" {
		req += "Authorization: Bearer " + token + "\r\n"
	}
	if _, err := c.Write([]byte(req + "\r\n")); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(dialTime))
	b := make([]byte, 256)
	n, err := c.Read(b)
	if err != nil {
		return err
	}
	status, _, _ := bytes.Cut(b[:n], []byte("\r\n"))
	if f := bytes.Fields(status); len(f) > 1 && len(f[1]) == 3 && f[1][0] == '2' {
		return nil
	}
	return fmt.Errorf("answered %s", status)
}
