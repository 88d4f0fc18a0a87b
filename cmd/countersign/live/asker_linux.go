//go:build amd64 || arm64

package live

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/procstat"
)

// asker finds the process of the session that sent a datagram from a port of
// its network namespace, while it waits for the answer. Where it cannot be
// found any more (it is gone, or sent through a child's descriptor), the zero
// Peer says that nobody knows.
func asker(init int, from net.Addr) countersign.Peer {
	udp, ok := from.(*net.UDPAddr)
	if !ok {
		return countersign.Peer{}
	}
	for _, table := range []string{"udp", "udp6"} {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", init, table))
		if inode := inodeOf(b, udp.Port); inode != "" {
			return holder(init, "socket:["+inode+"]")
		}
	}
	return countersign.Peer{}
}

// inodeOf reads a table of /proc/net (proc_net(5)): the second field is the
// local address and port in hex, the tenth the inode.
func inodeOf(table []byte, port int) string {
	for line := range bytes.Lines(table) {
		f := strings.Fields(string(line))
		if len(f) > 9 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
			return f[9]
		}
	}
	return ""
}

// holder is the first process of init's network namespace that holds the
// descriptor.
func holder(init int, link string) countersign.Peer {
	ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", init))
	if err != nil {
		return countersign.Peer{}
	}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if got, err := os.Readlink(dir + "/ns/net"); err != nil || got != ns {
			continue
		}
		fds, _ := os.ReadDir(dir + "/fd")
		for _, fd := range fds {
			if got, _ := os.Readlink(filepath.Join(dir, "fd", fd.Name())); got == link {
				return peerOf(dir)
			}
		}
	}
	return countersign.Peer{}
}

func peerOf(dir string) countersign.Peer {
	p := countersign.Peer{UID: os.Getuid()}
	p.PID, _ = strconv.Atoi(filepath.Base(dir))
	_, p.Start, _, _ = procstat.Read(p.PID, make([]byte, 1024))
	p.Exe, _ = os.Readlink(dir + "/exe")
	if b, err := os.ReadFile(dir + "/cmdline"); err == nil && len(b) > 0 {
		p.Argv = strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
	}
	return p
}
