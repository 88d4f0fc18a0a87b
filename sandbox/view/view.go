// Package view builds what an agent sees and starts it there. It is the inside
// of the sandbox: two processes of the same binary, which do what the session
// process tells them over a socket each.
//
//   - nsd owns the namespaces. It lives in a user and a mount namespace of its
//     own, in the host's pid namespace, builds the view of the file system, and
//     later lays tripwires, pins and mounts when it is told to. It never runs
//     anything of the agent.
//   - init is pid 1 of the agent's pid, net, ipc and uts namespaces. It opens
//     the session's loopback sockets and terminals and hands them out, drops
//     every capability, starts the agent and whatever else the session starts
//     beside it, and reaps.
//
// It promises:
//   - Of the host's file system the view holds what the Plan names and the
//     system's own directories, read-only, and nothing else; the old root is
//     gone before the agent starts.
//   - A mount is attached by descriptor, at a path resolved without following a
//     link that the agent could have made.
//   - init cannot be traced or written to by the agent, who has its uid: it is
//     not dumpable before the agent exists.
//   - When the session's end of either socket closes, or the session process
//     dies, every process of the session dies.
//
// It may make namespaces and mounts and start processes. It must never listen
// to anybody but the session process, nor decide anything: what is denied,
// shown or run is decided outside.
package view

import (
	"encoding/json"

	"github.com/countersign/countersign"
)

// The hidden arguments that make the binary one of the helpers.
const (
	CommandNSD   = "__nsd"
	CommandInit  = "__init"
	CommandProbe = "__probe"
)

// Plan is the view to be built. All paths are absolute and clean.
type Plan struct {
	Home        string   // $HOME's path, the same inside as outside
	HomeSource  string   // host directory that is bound there, writable and executable
	Tmp         string   // host directory bound at /tmp; empty: a tmpfs
	ReadOnly    []string // host paths bound read-only at their own places
	Caches      []Cache
	Fuse        bool  // tripwires are nodes that the session serves; else masks
	RequireFuse bool  // do not start where there is no FUSE
	GatewayPort int   // 0: the kernel chooses
	Listen      []int // more ports of the loopback that the session serves
	Gate        bool  // commands start under the seccomp filter; each spawn answers with its listener
}

// Project is what is laid into the view, in this order, before anything of the
// agent runs.
type Project struct {
	Mounts    []countersign.Mount
	Tripwires []Trip
}

// Cache is a host cache directory with a private layer over it.
type Cache struct {
	Lower  string // host directory, never written; may be absent
	Upper  string // host directory of the session's own, made if absent
	Work   string // beside Upper, for the kernel
	Target string // path inside
}

// Trip is one tripwire: node ID of the FUSE root, laid over Path.
type Trip struct {
	ID   uint64
	Path string
	Dir  bool
	Only bool // only over what is there: nothing is made where Path is missing
}

// Spawn is a command to be started beside init.
type Spawn struct {
	Path  string // of the program; empty: Argv[0], looked up in Env's PATH if it has no slash
	Argv  []string
	Env   []string
	Dir   string
	Whole bool // all that it started ends with it
	TTY   bool // give it a terminal; else three descriptors come with the request
	Ctty  bool // the first of the three is a terminal nobody leads: lead it
	Rows  uint16
	Cols  uint16
}

// The operations of the protocol. Those of nsd:
const (
	OpFuse  = "fuse"  // event: the FUSE descriptor, or the reason why there is none
	OpLay   = "lay"   // request: the nodes are served; lay the Project that comes as a descriptor, JSON
	OpUp    = "up"    // event: the view stands and init lives
	OpTrip  = "trip"  // request: Trips
	OpPin   = "pin"   // request: Paths[0], content as a descriptor; answers Dev, Ino, Pin
	OpText  = "text"  // request: Paths[0], content as a descriptor, Trips: two traps, or none
	OpUnpin = "unpin" // request: Pin
)

// Those of init:
const (
	OpNet    = "net"    // event: gateway listener, DNS datagram socket, DNS listener, those of Plan.Listen
	OpSocket = "socket" // request: a stream socket of Family, or of netlink one for sock_diag(7); answers with it
	OpSpawn  = "spawn"  // request: Spawn; answers with the seccomp listener and the terminal, the command waiting
	OpTry    = "try"    // request, same ID as its spawn: its thread makes the calls of internal/trial, with Paths[0]; answers Errnos
	OpGo     = "go"     // request, same ID as its spawn: run it; answers PID
	OpSignal = "signal" // request without answer: Sig to the process group of the spawn ID
	OpExit   = "exit"   // event: Exit of the spawn ID
)

// Message is one packet in either direction; descriptors ride beside it.
type Message struct {
	Op     string   `json:"op"`
	ID     uint64   `json:"id,omitempty"` // of a request, echoed; of a spawn
	Fault  string   `json:"fault,omitempty"`
	Errno  int      `json:"errno,omitempty"`
	Trips  []Trip   `json:"trips,omitempty"`
	Paths  []string `json:"paths,omitempty"`
	Spawn  *Spawn   `json:"spawn,omitempty"`
	Pin    uint64   `json:"pin,omitempty"`
	Dev    uint64   `json:"dev,omitempty"`
	Ino    uint64   `json:"ino,omitempty"`
	PID    int      `json:"pid,omitempty"`
	Exit   int      `json:"exit,omitempty"` // exit status, or 128 + signal
	Sig    int      `json:"sig,omitempty"`
	Family int      `json:"family,omitempty"`
	Notes  []string `json:"notes,omitempty"`
	Errnos []int    `json:"errnos,omitempty"`
}

// packetMax bounds one packet, bytes; requests with long lists are split.
const packetMax = 96 << 10

func (m Message) encode() ([]byte, error) { return json.Marshal(m) }
