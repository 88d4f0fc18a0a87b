package sockowner

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/internal/sockdiag"
)

// This process is found behind each kind of its own sockets.
func TestOwnSocketsAreFound(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	diag, err := sockdiag.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(diag)
	n := Of(os.Getpid(), diag)
	port := l.Addr().(*net.TCPAddr).Port
	for range 2 { // by looking at all, and by memory
		if p := n.TCP(c.LocalAddr().(*net.TCPAddr).AddrPort(), c.RemoteAddr().(*net.TCPAddr).AddrPort()); p.PID != os.Getpid() || p.Start == 0 || p.Exe == "" || p.UID != os.Getuid() {
			t.Errorf("connection: %+v", p)
		}
	}
	if p := n.UDP(u.LocalAddr().(*net.UDPAddr).Port); p.PID != os.Getpid() {
		t.Errorf("datagrams: %+v", p)
	}
	if ps := n.Listeners(port); len(ps) != 1 || ps[0].PID != os.Getpid() {
		t.Errorf("listener: %+v", ps)
	}
	if !slices.Contains(n.Listening(), port) {
		t.Errorf("%d is not among %v", port, n.Listening())
	}
	if exe, _ := os.Executable(); !n.Serves(filepath.Base(exe), port) || n.Serves("another", port) {
		t.Error("the listener is not this program's, or another's")
	}
	l.Close()
	if slices.Contains(n.Listening(), port) {
		t.Error("a closed listener is listed")
	}
	if p := n.TCP(netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2")); p.PID != 0 {
		t.Errorf("nobody has it: %+v", p)
	}
}
