package sockdiag

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Sizes of a request, and of what an answer holds of a socket.
const (
	diagRequest = unix.SizeofNlMsghdr + 56
	diagAnswer  = 72
)

// Open opens a socket that answers for the network namespace it is made in.
func Open() (int, error) {
	return unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
}

// Socket is its local end, and the number by which /proc/PID/fd names it.
type Socket struct {
	Local netip.AddrPort
	Inode string
}

// Connected finds the socket with these two ends, both IPv4; where there is none,
// its Inode is empty.
func Connected(fd int, local, remote netip.AddrPort) (Socket, error) {
	b := request(unix.AF_INET, 0, ^uint32(0))
	id := b[unix.SizeofNlMsghdr+8:]
	binary.BigEndian.PutUint16(id[0:], local.Port())
	binary.BigEndian.PutUint16(id[2:], remote.Port())
	src, dst := local.Addr().Unmap().As4(), remote.Addr().Unmap().As4()
	copy(id[4:], src[:])
	copy(id[20:], dst[:])
	all, err := ask(fd, b)
	if err != nil || len(all) == 0 {
		return Socket{}, err
	}
	return all[0], nil
}

// Listening finds the sockets that listen, of both families.
func Listening(fd int) (out []Socket, err error) {
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		all, err := ask(fd, request(family, unix.NLM_F_DUMP, 1<<10)) // TCP_LISTEN
		if err != nil {
			return nil, err
		}
		out = append(out, all...)
	}
	return out, nil
}

func request(family byte, flags uint16, states uint32) []byte {
	b := make([]byte, diagRequest)
	binary.NativeEndian.PutUint32(b, diagRequest)
	binary.NativeEndian.PutUint16(b[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|flags)
	b[unix.SizeofNlMsghdr], b[unix.SizeofNlMsghdr+1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[unix.SizeofNlMsghdr+4:], states)
	for i := diagRequest - 8; i < diagRequest; i++ {
		b[i] = 0xff // any cookie
	}
	return b
}

// ask sends a question and reads its whole answer; ENOENT is an empty one.
func ask(fd int, question []byte) (out []Socket, err error) {
	if err := unix.Sendto(fd, question, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("sock_diag: %w", err)
	}
	buf := make([]byte, 32<<10)
	dump := binary.NativeEndian.Uint16(question[6:])&unix.NLM_F_DUMP != 0
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("sock_diag: %w", err)
		}
		for b := buf[:n]; len(b) >= unix.SizeofNlMsghdr; {
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.SizeofNlMsghdr || size > len(b) {
				return nil, errors.New("sock_diag: a message was cut")
			}
			body := b[unix.SizeofNlMsghdr:size]
			switch typ := binary.NativeEndian.Uint16(b[4:]); {
			case typ == unix.NLMSG_DONE:
				return out, nil
			case typ == unix.NLMSG_ERROR && len(body) >= 4:
				if errno := unix.Errno(-int32(binary.NativeEndian.Uint32(body))); errno != 0 && errno != unix.ENOENT {
					return nil, fmt.Errorf("sock_diag: %w", errno)
				}
				return out, nil
			case typ == unix.SOCK_DIAG_BY_FAMILY && len(body) >= diagAnswer:
				out = append(out, parse(body))
			}
			b = b[min((size+3)&^3, len(b)):]
		}
		if !dump {
			return out, nil
		}
	}
}

func parse(body []byte) Socket {
	addr := netip.AddrFrom4([4]byte(body[8:12]))
	if body[0] == unix.AF_INET6 {
		addr = netip.AddrFrom16([16]byte(body[8:24]))
	}
	return Socket{
		Local: netip.AddrPortFrom(addr, binary.BigEndian.Uint16(body[4:])),
		Inode: fmt.Sprint(binary.NativeEndian.Uint32(body[68:])),
	}
}
