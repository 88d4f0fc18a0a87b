//go:build !linux

package sandbox

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"

	"github.com/countersign/countersign"
)

// Sandbox does not exist on this system.
type Sandbox struct {
	*Process
	Gateway     net.Listener
	GatewayPort int
	DNS         net.PacketConn
	DNSStream   net.Listener
	Doors       []net.Listener
	NSDPID      int
	InitPID     int
	NoFuse      string
	Notes       []string
}

// Process does not exist on this system.
type Process struct{ Listener, PTY *os.File }

// Start refuses: nothing would be enforced.
func Start(context.Context, Config) (*Sandbox, error) { return nil, none("start the sandbox") }

// Begin refuses.
func Begin(context.Context, Config) (*Sandbox, error) { return nil, none("start the sandbox") }

// Served fails.
func (*Sandbox) Served() error { return none("start the sandbox") }

// Lay fails.
func (*Sandbox) Lay([]countersign.Mount, []Trip) error { return none("lay mounts") }

// Finish fails.
func (*Sandbox) Finish(Config) error { return none("start the sandbox") }

// Probe says that nothing is enforced here.
func Probe(context.Context, string) countersign.Posture {
	p := countersign.Posture{Tier: "C"}
	for _, name := range []string{"exec-gate", "file-deny", "staging", "network"} {
		p.Mechanisms = append(p.Mechanisms, countersign.Mechanism{
			Name: name, State: "missing", Detail: "not enforced on this system", Remedy: remedyOther,
		})
	}
	return p
}

const remedyOther = "run Countersign on Linux, or in a Linux virtual machine"

func none(op string) error {
	return &countersign.Error{
		Code: countersign.EPosture, Op: op, Err: errors.New("this system has no sandbox that Countersign can stand behind"), Remedy: remedyOther,
	}
}

// Spawn fails.
func (*Sandbox) Spawn(Command) (*Process, error) { return nil, none("spawn") }

// Go fails.
func (*Process) Go() error { return none("start") }

// Wait fails.
func (*Process) Wait() (int, error) { return 0, none("wait") }

// Signal fails.
func (*Process) Signal(syscall.Signal) error { return none("signal") }

// Done returns nil.
func (*Process) Done() <-chan struct{} { return nil }

// Dial fails.
func (*Sandbox) Dial(int) (net.Conn, error) { return nil, none("connect") }

// Diag fails.
func (*Sandbox) Diag() (*os.File, error) { return nil, none("ask for sockets") }

// Kill does nothing.
func (*Sandbox) Kill() {}

// Ended returns nil.
func (*Sandbox) Ended() <-chan struct{} { return nil }

// AddTripwire fails.
func (*Sandbox) AddTripwire(...Trip) error { return none("lay a tripwire") }

// Text fails.
func (*Sandbox) Text(string, []byte, ...Trip) error { return none("lay a text") }

// Pin fails.
func (*Sandbox) Pin(string, []byte) (Pin, error) { return Pin{}, none("pin") }

// Unpin fails.
func (*Sandbox) Unpin(Pin) error { return none("unpin") }
