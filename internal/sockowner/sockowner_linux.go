package sockowner

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/procstat"
)

// remembered is how many holders are tried before all processes are looked at: a
// program that connects once will connect again.
const remembered = 8

// Namespace is the network namespace of a process, which must live.
type Namespace struct {
	pid    int
	mu     sync.Mutex
	recent []string // directories of /proc, the last found first
}

// Of returns the network namespace of a process.
func Of(pid int) *Namespace { return &Namespace{pid: pid} }

// entry is a line of a table of sockets.
type entry struct {
	local, state, inode string
	port                int
}

// entries reads tables: the second field is the local address and port in hex, the
// fourth the state, the tenth the inode.
func (n *Namespace) entries(tables ...string) (out []entry) {
	for _, table := range tables {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", n.pid, table))
		for line := range bytes.Lines(b) {
			f := strings.Fields(string(line))
			if len(f) < 10 {
				continue
			}
			host, hex, ok := strings.Cut(f[1], ":")
			port, err := strconv.ParseUint(hex, 16, 16)
			if ok && err == nil {
				out = append(out, entry{host, f[3], f[9], int(port)})
			}
		}
	}
	return out
}

// UDP is the process that sends datagrams from a port.
func (n *Namespace) UDP(port int) countersign.Peer {
	for _, e := range n.entries("udp", "udp6") {
		if e.port == port {
			return n.holder(e.inode)
		}
	}
	return countersign.Peer{}
}

// states of TCP, as the kernel numbers them.
const (
	established = "01"
	listening   = "0A"
)

// TCP is the process that has a connection from a port.
func (n *Namespace) TCP(port int) countersign.Peer {
	for _, e := range n.entries("tcp", "tcp6") {
		if e.port == port && e.state == established && e.inode != "0" {
			return n.holder(e.inode)
		}
	}
	return countersign.Peer{}
}

// Listeners are the processes that listen on a port, on any address.
func (n *Namespace) Listeners(port int) (out []countersign.Peer) {
	for _, e := range n.entries("tcp", "tcp6") {
		if e.port == port && e.state == listening {
			out = append(out, n.holder(e.inode))
		}
	}
	return out
}

// Serves reports whether a program of that base name listens on a port, on any
// address. Processes of other users are not known by name, and so are not found.
func (n *Namespace) Serves(program string, port int) bool {
	var links []string
	for _, e := range n.entries("tcp", "tcp6") {
		if e.port == port && e.state == listening {
			links = append(links, "socket:["+e.inode+"]")
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
	local := []string{
		"00000000", "0100007F", // as the bytes lie in memory, little-endian
		"00000000000000000000000000000000", "00000000000000000000000001000000",
	}
	for _, e := range n.entries("tcp", "tcp6") {
		if e.state == listening && slices.Contains(local, e.local) {
			out = append(out, e.port)
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
