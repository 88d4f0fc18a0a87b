package sockowner

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/procstat"
	"github.com/countersign/countersign/internal/sockdiag"
)

// remembered is how many holders are tried before all processes are looked at: a
// program that connects once will connect again.
const remembered = 8

// Namespace is the network namespace of a process, which must live.
type Namespace struct {
	pid    int
	diag   int        // a socket of the namespace, see sockdiag.Open
	asking sync.Mutex // held for a question and its answer
	mu     sync.Mutex
	recent []string // directories of /proc, the last found first
}

// Of returns the network namespace of a process; diag is a socket of sockdiag.Open made
// there, which stays the caller's. Datagrams are found without: then it may be -1.
func Of(pid, diag int) *Namespace { return &Namespace{pid: pid, diag: diag} }

// UDP is the process that sends datagrams from a port. It reads a table: the second
// field is the local address and port in hex, the tenth the inode.
func (n *Namespace) UDP(port int) countersign.Peer {
	for _, table := range []string{"udp", "udp6"} {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", n.pid, table))
		for line := range bytes.Lines(b) {
			f := strings.Fields(string(line))
			if len(f) > 9 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				return n.holder(f[9])
			}
		}
	}
	return countersign.Peer{}
}

// TCP is the process that has a connection with these two ends, both IPv4.
func (n *Namespace) TCP(local, remote netip.AddrPort) countersign.Peer {
	n.asking.Lock()
	s, err := sockdiag.Connected(n.diag, local, remote)
	n.asking.Unlock()
	if err != nil || s.Inode == "" || s.Inode == "0" {
		return countersign.Peer{}
	}
	return n.holder(s.Inode)
}

func (n *Namespace) listeners() []sockdiag.Socket {
	n.asking.Lock()
	defer n.asking.Unlock()
	all, _ := sockdiag.Listening(n.diag) // what cannot be asked is not found
	return all
}

// Listeners are the processes that listen on a port, on any address.
func (n *Namespace) Listeners(port int) (out []countersign.Peer) {
	for _, s := range n.listeners() {
		if int(s.Local.Port()) == port {
			out = append(out, n.holder(s.Inode))
		}
	}
	return out
}

// Serves reports whether a program of that base name listens on a port, on any
// address. Processes of other users are not known by name, and so are not found.
func (n *Namespace) Serves(program string, port int) bool {
	var links []string
	for _, s := range n.listeners() {
		if int(s.Local.Port()) == port {
			links = append(links, "socket:["+s.Inode+"]")
		}
	}
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		exe, err := os.Readlink(dir + "/exe")
		if err != nil || strings.TrimSuffix(filepath.Base(exe), " (deleted)") != program {
			continue
		}
		for _, link := range links {
			if has(dir, link) {
				return true
			}
		}
	}
	return false
}

// Listening returns the ports that are listened on where 127.0.0.1 or ::1 leads,
// sorted.
func (n *Namespace) Listening() (out []int) {
	for _, s := range n.listeners() {
		if a := s.Local.Addr(); a.IsUnspecified() || a == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || a == netip.IPv6Loopback() {
			out = append(out, int(s.Local.Port()))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// holder is the first process of the namespace that holds the socket.
func (n *Namespace) holder(inode string) countersign.Peer {
	link := "socket:[" + inode + "]"
	ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", n.pid))
	if err != nil {
		return countersign.Peer{}
	}
	n.mu.Lock()
	dirs := slices.Clone(n.recent)
	n.mu.Unlock()
	for _, dir := range dirs {
		if holds(dir, ns, link) {
			return peerOf(dir)
		}
	}
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		if holds(dir, ns, link) {
			n.remember(dir)
			return peerOf(dir)
		}
	}
	return countersign.Peer{}
}

func (n *Namespace) remember(dir string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.recent = append([]string{dir}, n.recent[:min(len(n.recent), remembered-1)]...)
}

func holds(dir, ns, link string) bool {
	if got, err := os.Readlink(dir + "/ns/net"); err != nil || got != ns {
		return false
	}
	return has(dir, link)
}

func has(dir, link string) bool {
	fds, _ := os.ReadDir(dir + "/fd")
	for _, fd := range fds {
		if got, _ := os.Readlink(filepath.Join(dir, "fd", fd.Name())); got == link {
			return true
		}
	}
	return false
}

func peerOf(dir string) countersign.Peer {
	p := countersign.Peer{}
	p.PID, _ = strconv.Atoi(filepath.Base(dir))
	if fi, err := os.Stat(dir); err == nil {
		p.UID = uid(fi)
	}
	_, p.Start, _, _ = procstat.Read(p.PID, make([]byte, 1024))
	p.Exe, _ = os.Readlink(dir + "/exe")
	if b, err := os.ReadFile(dir + "/cmdline"); err == nil && len(b) > 0 {
		p.Argv = strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
	}
	return p
}

// uid is the owner of a process, who owns its directory.
func uid(fi os.FileInfo) int {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}
