// Package sandbox starts and ends an agent's process tree: it starts the helpers
// of sandbox/view, tells them what to build, and holds what they hand out.
//
// It promises:
//   - Start returns with the agent's process waiting before its first exec, so
//     that whoever supervises it is there first; Go lets it run. In two steps: what
//     Begin starts builds the view and runs nothing of the agent; Finish lays the
//     project and the tripwires, and only then makes that process.
//   - What the machine does not enforce is refused with its remedy (EPosture),
//     never left out. On other systems than Linux, Start refuses.
//   - When this process dies, by whatever cause, the whole tree dies.
//
// It may start processes (its own binary only) and hold their sockets. It must
// never decide what is denied, shown or run, nor touch project files.
package sandbox

import (
	"os"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/sandbox/view"
)

// The nouns that the view shares.
type (
	// Trip is one tripwire: node ID of the FUSE root, laid over Path.
	Trip = view.Trip
	// Cache is a host cache directory with a private layer over it.
	Cache = view.Cache
)

// Config says what to start and what it sees. Paths are absolute and clean.
type Config struct {
	Exe  string   // this binary; its main must call Main first
	Argv []string // Argv[0] without a slash is looked up in Env's PATH
	Env  []string // what EnvAllow kept, and what the session adds
	Dir  string   // working directory, inside

	Home       string // $HOME's path, inside
	HomeSource string // private directory on the host that lies there
	Tmp        string // private directory on the host that lies at /tmp; empty: memory
	Mounts     []countersign.Mount
	ReadOnly   []string // host paths shown read-only at their own places: toolchains
	Caches     []Cache
	Tripwires  []Trip

	// OnFuse has the FUSE descriptor served, with a node for every tripwire, before it
	// returns; it owns the file. Nil: tripwires are laid as masks.
	OnFuse      func(*os.File) error `json:"-"`
	RequireFuse bool                 // refuse to start where there is no /dev/fuse

	Gate        bool  // commands wait for a seccomp supervisor at every exec
	GatewayPort int   // of the gateway inside, 0: the kernel chooses
	Listen      []int // more ports of the loopback inside, for the session to serve: Sandbox.Doors

	TTY                   bool // give the agent a terminal; else the three files
	Rows, Cols            uint16
	Stdin, Stdout, Stderr *os.File // nil: /dev/null
}

// Command is one more command in a standing sandbox.
type Command struct {
	Path string // of the program; empty: Argv[0], looked up in Env's PATH
	Argv []string
	Env  []string
	Dir  string
	TTY  bool
	Ctty bool // Stdin is a terminal of its own: job control works on it
	// Whole has all that it started end with it, before Done: wherever that may have
	// gone. A kernel that cannot (before Linux 6.12) starts no such command.
	Whole bool
	// Inside says that the three files are the session's own already: they are handed in
	// as they are.
	Inside                bool
	Rows, Cols            uint16
	Stdin, Stdout, Stderr *os.File // without TTY; nil: /dev/null
}

// Pin is a sealed copy that lies over a file.
type Pin struct {
	ID       uint64
	Dev, Ino uint64 // of the copy, as fstat shows them inside
}

// Main is one of the sandbox's helper processes if args (without the program's
// name) ask for it; it then does not return.
func Main(args []string) (handled bool) { return view.Main(args) }
