package countersign

// Kind says what an action attempts.
type Kind string

// The kinds of action, one for each door.
const (
	KindExec      Kind = "exec"
	KindFileRead  Kind = "file.read"
	KindFileWrite Kind = "file.write"
	KindNet       Kind = "net.connect"
	KindModel     Kind = "model.request"
	KindMCP       Kind = "mcp.call"
	KindGitRef    Kind = "git.ref" // a commit made inside reaches a branch of the real repository, or is given back
	KindTamper    Kind = "tamper"  // a call against the sandbox itself: mount, ptrace, bpf …
)

// Action is one thing an agent attempts. Exactly one of the pointers that fits
// its Kind is set.
type Action struct {
	Kind    Kind
	Session string // session id
	Summary string // one line for lists; secrets already replaced by markers
	Peer    Peer   // the process that tried

	Exec  *Exec
	File  *File
	Net   *Net
	Model *Model
}

// Peer is the process that tried, as the kernel knows it (never as it says).
type Peer struct {
	PID   int      `json:"pid"`             // in the host's pid namespace
	Start uint64   `json:"start,omitempty"` // field 22 of /proc/PID/stat, clock ticks since boot
	UID   int      `json:"uid"`
	Exe   string   `json:"exe,omitempty"`  // resolved path of its executable
	Argv  []string `json:"argv,omitempty"` // its own command line
}

// Exec is an execve or execveat that waits. What was approved is what runs:
// every field marked "bound" enters the action digest and is compared again at
// the exec stop.
type Exec struct {
	Argv    []string     // bound; exact bytes
	Cwd     string       // bound; resolved
	Invoked string       // the path argument, made absolute
	Exe     Executable   // bound; the file the kernel will run (for a script: the script itself)
	Interp  []Executable // bound; shebang interpreters, outermost last
	Hops    []string     // every symlink hop from Invoked to Exe.Path, both included, absolute
	Env     []string     // bound; NAME=VALUE; values enter digests as keyed hashes and never a record in clear
	Delta   []EnvChange  // Env against the session's baseline
	Scripts []Script     // bound; operands whose content the command runs
	Stdin   Stdin
	// Writable is set if any hop, the executable or an interpreter lies where
	// the session can write; no allow rule by bare name applies then. A script
	// operand does not count: its content is bound, a rule may name it.
	Writable bool
	// ProgramFromAgent is set for a shell or interpreter that takes its program
	// from a pipe, socket or terminal: it gives no cover.
	ProgramFromAgent bool
	// Again is set where the program is the agent once more, by its content: what
	// that starts is the agent's choice, and not covered. What it becomes in its
	// own place is.
	Again bool
	// Traced is set where a debugger that may holds the process: what runs is then
	// not compared at the exec stop. Not bound.
	Traced bool
	// Launch is set for the agent's own launch chain.
	Launch bool
	// Outlived says in plain words why an exec has no cover where its process is
	// what an approved command left behind; empty for all others. Not bound.
	Outlived string
	// Lends are the secrets that it gets, and for whose sake it runs apart from the
	// agent; bound.
	Lends []Lend
	// Root is the decided command this exec runs under by proven lineage, or nil.
	Root *CoverRoot
}

// Executable is a file's identity at the time of the decision.
type Executable struct {
	Path   string `json:"path"` // resolved, as seen inside the session
	Dev    uint64 `json:"dev"`
	Ino    uint64 `json:"ino"`
	SHA256 string `json:"sha256"` // lower-case hex of the content
}

// Script is an operand that an interpreter will run, and its content.
type Script struct {
	Path    string `json:"path"` // absolute, as seen inside
	SHA256  string `json:"sha256"`
	Content []byte `json:"-"` // the bytes that were shown; sealed over the operand while the command runs
}

// EnvChange is one difference between an attempt's environment and the session's.
type EnvChange struct {
	Name  string
	Value string // empty if Unset
	Unset bool
}

// Stdin says what descriptor 0 of the new image will be. It is empty where
// nothing hangs on it and nobody looked: for a covered command that does not
// read its program from there.
type Stdin string

// The kinds of standard input.
const (
	StdinNull   Stdin = "null"
	StdinTTY    Stdin = "tty"
	StdinPipe   Stdin = "pipe"
	StdinSocket Stdin = "socket"
	StdinFile   Stdin = "file"
	StdinNone   Stdin = "closed"
)

// CoverRoot names the approved command that a process descends from.
type CoverRoot struct {
	Record string // id of the approved command's exec.decided
	PID    int
	Start  uint64
}

// File is an attempt on a denied path.
type File struct {
	Path string // as seen inside the session, absolute
	Op   string // open, read, write, truncate, chmod, chown, utimes, unlink, rename, link, xattr
	Rule string // id of the deny rule
}

// Net is an attempt to reach something.
type Net struct {
	Proto string // tcp, udp, dns, unix, vsock, netlink, …
	Host  string // address or, for dns, the name asked for
	Port  int
}

// Model is a request to a model.
type Model struct {
	Provider  string `json:"provider"`
	Requested string `json:"requested"`
	Served    string `json:"served,omitempty"`
	Wire      string `json:"wire"` // anthropic, openai-chat, openai-responses, …
}
