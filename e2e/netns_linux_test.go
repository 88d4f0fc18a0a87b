package e2e

import (
	bin "encoding/binary"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// outsideAddr is where the hosts of a test's own internet are: an address of
// documentation, that leads to this machine's loopback and is none of its own.
const outsideAddr = "198.51.100.7"

// alone runs the rest of a test in a network of its own, where the given names lead
// to an address each. It returns false in the process that only waits for that.
func alone(t *testing.T, names map[string]string) bool {
	t.Helper()
	if os.Getenv("COUNTERSIGN_E2E_ALONE") == t.Name() {
		makeNetwork(t, names)
		return true
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, for a network of its own")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), "COUNTERSIGN_E2E_ALONE="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	switch text := string(out); {
	case err != nil:
		t.Fatalf("%v\n%s", err, text)
	case strings.Contains(text, "--- SKIP: "+t.Name()+" ("):
		t.Skip(text)
	default:
		t.Log(text)
	}
	return false
}

func makeNetwork(t *testing.T, names map[string]string) {
	t.Helper()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	text := "127.0.0.1 localhost\n::1 localhost\n"
	for name, addr := range names {
		text += addr + " " + name + "\n"
	}
	hosts := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(hosts, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(hosts, "/etc/hosts", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatal(err)
	}
	routeToLoopback(t)
}

// routeToLoopback is `ip route add local 198.51.100.0/24 dev lo` (rtnetlink(7)).
func routeToLoopback(t *testing.T) {
	t.Helper()
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	attr := func(typ int, value []byte) []byte {
		b := bin.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
		b = bin.NativeEndian.AppendUint16(b, uint16(typ))
		return append(b, value...)
	}
	rtm := unix.RtMsg{Family: unix.AF_INET, Dst_len: 24, Table: unix.RT_TABLE_LOCAL, Protocol: unix.RTPROT_BOOT, Scope: unix.RT_SCOPE_HOST, Type: unix.RTN_LOCAL}
	body := append([]byte(nil), (*[unix.SizeofRtMsg]byte)(unsafe.Pointer(&rtm))[:]...)
	body = append(body, attr(unix.RTA_DST, []byte{198, 51, 100, 0})...)
	body = append(body, attr(unix.RTA_OIF, bin.NativeEndian.AppendUint32(nil, uint32(lo.Index)))...)
	msg := bin.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	msg = bin.NativeEndian.AppendUint16(msg, unix.RTM_NEWROUTE)
	msg = bin.NativeEndian.AppendUint16(msg, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE)
	msg = append(msg, make([]byte, 8)...)
	msg = append(msg, body...)
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil || n < 20 {
		t.Fatal(n, err)
	}
	if errno := int32(bin.NativeEndian.Uint32(answer[16:])); errno != 0 {
		t.Fatal(unix.Errno(-errno))
	}
}

// serveOutside serves a handler on an address of the test's own internet.
func serveOutside(t *testing.T, addr string, h http.Handler) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return l
}
