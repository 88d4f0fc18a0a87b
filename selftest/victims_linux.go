//go:build amd64 || arm64

package selftest

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Victims are what of the host is attacked: sockets, a process, shared memory.
type Victims struct {
	closers []func()
}

// Close ends them.
func (v *Victims) Close() {
	for _, f := range v.closers {
		f()
	}
}

// NewVictims makes them, and names them to the ground.
func NewVictims(g *Ground, marker string) (*Victims, error) {
	v := &Victims{}
	g.Args = map[string]string{
		"project": g.Project(), "home": g.Home(), "outside": g.Outside(), "exe": g.Exe, "bin": filepath.Dir(g.Exe),
		"pid": strconv.Itoa(os.Getpid()), "token": g.Root, "environ": "XDG_STATE_HOME=",
		"unix": filepath.Join(os.TempDir(), "cs-"+strings.ToLower(rand.Text()[:12])), "abstract": "@countersign-" + strings.ToLower(rand.Text()[:12]),
	}
	for _, l := range [][2]string{{"unix", g.Args["unix"]}, {"unix", g.Args["abstract"]}, {"tcp", "127.0.0.1:0"}} {
		n, err := net.Listen(l[0], l[1])
		if err != nil {
			v.Close()
			return nil, err
		}
		v.closers = append(v.closers, func() { n.Close() })
		if l[0] == "tcp" {
			g.Args["tcp"] = n.Addr().String()
		}
	}
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		v.Close()
		return nil, err
	}
	v.closers = append(v.closers, func() { p.Close() })
	g.Args["udp"] = p.LocalAddr().String()
	go answer(p)
	if err := v.shared(g, marker); err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

func answer(p net.PacketConn) {
	b := make([]byte, 16)
	for {
		n, from, err := p.ReadFrom(b)
		if err != nil {
			return
		}
		_, _ = p.WriteTo(b[:n], from)
	}
}

// shared makes shared memory that holds the marker (shmget(2)).
func (v *Victims) shared(g *Ground, marker string) error {
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, 0o600)
	if err != nil {
		return fmt.Errorf("shmget: %w", err)
	}
	v.closers = append(v.closers, func() { _, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil) })
	b, err := unix.SysvShmAttach(id, 0, 0)
	if err != nil {
		return fmt.Errorf("shmat: %w", err)
	}
	copy(b, marker)
	g.Args["shm"] = strconv.Itoa(id)
	return unix.SysvShmDetach(b)
}
