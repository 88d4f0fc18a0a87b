//go:build amd64 || arm64

package execgate

import (
	"bytes"
	"encoding/json"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/asseen"
	"github.com/countersign/countersign/internal/execfile"
	"github.com/countersign/countersign/internal/interp"
	"github.com/countersign/countersign/sandbox/seccomp"
)

// plan is an exec that waits, and what the exec stop must show.
type plan struct {
	exec      countersign.Exec
	args      []byte            // the argument bytes after the exec, shebang included
	env       []byte            // the environment's
	name      string            // the path argument
	nameErrno unix.Errno        // why it could not be read
	loaded    []string          // args, split
	image     *execfile.Content // the file that the kernel loads: the outermost interpreter, or the executable
	operands  []operand
	movable   bool // the session can change what the kernel loads
	node      bool // the interpreter resolves module names by itself
	once      bool // it opens its program once
	whole     bool // content of large scripts too: somebody may be asked
	stream    bool // what it would run comes out of a pipe, socket or terminal
}

// operand is a file that the interpreter opens by itself after the exec.
type operand struct {
	script   int    // in exec.Scripts
	name     string // as the interpreter will name it
	writable bool   // the session can change what stands there
	watch    bool   // the process itself opens it
	main     bool   // the last that it opens: its program
}

// no is why an exec cannot even be asked about. The kernel would have said the
// same (quiet), or it is a refusal of ours.
type no struct {
	errno unix.Errno
	why   string // empty: the kernel would have said the same
}

const (
	maxShebang    = 5 // depth of exec_binprm in fs/exec.c
	execveCheck   = 0x10000
	execveatFlags = unix.AT_EMPTY_PATH | unix.AT_SYMLINK_NOFOLLOW
)

// read makes the plan of the notified call.
func (w *worker) read(call string, whole bool) (*plan, *no) {
	p := &plan{whole: whole}
	w.m.TID = w.t.tid
	args := w.n.Data.Args
	req := request{dirfd: unix.AT_FDCWD, name: args[0], argv: args[1], envp: args[2]}
	if call == "execveat" {
		req = request{dirfd: int(int32(args[0])), name: args[1], argv: args[2], envp: args[3], flags: uint32(args[4])}
	}
	if n := w.readArgs(p, req); n != nil {
		return nil, n
	}
	cwd, err := w.t.readLink("cwd")
	if err != nil || !strings.HasPrefix(cwd, "/") {
		return nil, &no{unix.EACCES, "its working directory cannot be named"}
	}
	p.exec.Cwd = cwd
	pl, filename, n := w.find(p, req)
	if n != nil {
		return nil, n
	}
	defer pl.Close()
	if n := w.identify(p, &pl, filename); n != nil {
		return nil, n
	}
	w.program(p)
	return p, nil
}

// request is the system call's arguments.
type request struct {
	dirfd            int
	name, argv, envp uint64
	flags            uint32
}

func (w *worker) readArgs(p *plan, r request) *no {
	g, b, errno := w.m.Given(w.buf, r.name, r.argv, r.envp)
	w.buf = b
	if errno != 0 {
		return readFault(errno)
	}
	p.name, p.nameErrno, p.args = string(g.Name), g.NameErrno, bytes.Clone(g.Args)
	if g.Argc == 0 {
		p.args = []byte{0} // the kernel makes it one empty argument (Linux 5.18)
	}
	if w.env.list == nil || !bytes.Equal(w.env.raw, g.Env) {
		w.env = w.s.environment(bytes.Clone(g.Env))
	}
	p.env, p.exec.Env, p.exec.Delta = w.env.raw, w.env.list, w.env.delta
	p.exec.Argv = seccomp.Split(p.args)
	return nil
}

// readFault: EFAULT and E2BIG are the caller's own; anything else hides
// something from us.
func readFault(errno unix.Errno) *no {
	switch errno {
	case unix.EFAULT, unix.E2BIG:
		return &no{errno: errno}
	}
	return &no{unix.EACCES, "its arguments cannot be read"}
}

// find resolves the path argument. filename is the name that the kernel hands
// to a script's interpreter.
func (w *worker) find(p *plan, r request) (pl asseen.Place, filename string, n *no) {
	pl.FD = -1
	if p.nameErrno == unix.E2BIG || len(p.name) >= unix.PathMax {
		return pl, "", &no{errno: unix.ENAMETOOLONG}
	}
	if p.nameErrno != 0 {
		return pl, "", readFault(p.nameErrno)
	}
	if r.flags&^execveatFlags != 0 {
		return pl, "", &no{errno: unix.EINVAL}
	}
	name := p.name
	filename = name
	var errno unix.Errno
	fd := "fd/" + strconv.Itoa(r.dirfd)
	switch {
	case name == "" && (r.flags&unix.AT_EMPTY_PATH == 0 || r.dirfd == unix.AT_FDCWD):
		return pl, "", &no{errno: unix.ENOENT}
	case name == "":
		return w.findFD(p, fd, r.dirfd)
	case strings.HasPrefix(name, "/"):
	case r.dirfd == unix.AT_FDCWD:
		name = p.exec.Cwd + "/" + name
	default:
		dir, err := w.t.readLink(fd)
		if err != nil {
			return pl, "", &no{errno: unix.EBADF}
		}
		if !strings.HasPrefix(dir, "/") {
			return pl, "", &no{errno: unix.ENOTDIR}
		}
		filename = "/dev/" + fd + "/" + name
		name = dir + "/" + name
	}
	p.exec.Invoked = path.Clean(name)
	pl, errno = w.s.resolve(&w.t, name, r.flags&unix.AT_SYMLINK_NOFOLLOW == 0)
	if errno != 0 {
		return pl, "", &no{errno: errno}
	}
	return pl, filename, nil
}

// findFD is the file behind a descriptor of the caller.
func (w *worker) findFD(p *plan, name string, dirfd int) (asseen.Place, string, *no) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(w.t.tid)+"/"+name, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return asseen.Place{FD: -1}, "", &no{errno: unix.EBADF}
	}
	real := asseen.NameOf(fd)
	p.exec.Invoked = real
	return asseen.Place{FD: fd, Real: real, Hops: []string{real}}, "/dev/fd/" + strconv.Itoa(dirfd), nil
}

// identify hashes the executable and its chain of interpreters.
func (w *worker) identify(p *plan, pl *asseen.Place, filename string) *no {
	c, exe, n := w.file(p, pl)
	if n != nil {
		return n
	}
	p.exec.Exe, p.exec.Hops = exe, pl.Hops
	writable := w.writable(pl.Hops)
	if c.Form == execfile.Script {
		p.exec.Scripts = append(p.exec.Scripts, countersign.Script{Path: exe.Path, SHA256: c.Hash, Content: c.Text})
		p.operands = append(p.operands, operand{name: filename, writable: writable, watch: true})
	}
	for depth := 0; c.Form == execfile.Script; depth++ {
		if depth >= maxShebang {
			return &no{errno: unix.ELOOP}
		}
		p.shebang(filename, c)
		filename = c.Interp
		next, errno := w.s.resolve(&w.t, w.abs(p, c.Interp), true)
		if errno != 0 {
			return &no{errno: errno}
		}
		c, exe, n = w.file(p, &next)
		next.Close()
		if n != nil {
			return n
		}
		writable = writable || w.writable(next.Hops)
		p.exec.Interp = append(p.exec.Interp, exe)
	}
	p.image, p.exec.Writable = c, writable
	p.movable = writable
	p.loaded = p.exec.Argv
	if len(p.exec.Interp) > 0 {
		p.loaded = seccomp.Split(p.args)
	}
	return nil
}

// shebang puts the interpreter before the arguments, as load_script does.
func (p *plan) shebang(filename string, c *execfile.Content) {
	var b []byte
	b = append(append(b, c.Interp...), 0)
	if c.HasArg {
		b = append(append(b, c.Arg...), 0)
	}
	b = append(append(b, filename...), 0)
	p.args = append(b, p.args[bytes.IndexByte(p.args, 0)+1:]...)
}

func (w *worker) abs(p *plan, name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	return p.exec.Cwd + "/" + name
}

func (w *worker) writable(hops []string) bool {
	for _, h := range hops {
		if !strings.HasPrefix(h, "/") || w.s.cfg.Writable(h) {
			return true
		}
	}
	return false
}

// shows reports whether a script's text may be looked at.
func (p *plan) shows(st *unix.Stat_t) bool { return p.whole || st.Size <= execfile.KeepText }

// file is what the kernel would run of a place.
func (w *worker) file(p *plan, pl *asseen.Place) (*execfile.Content, countersign.Executable, *no) {
	var st unix.Stat_t
	var none countersign.Executable
	if err := unix.Fstat(pl.FD, &st); err != nil {
		return nil, none, &no{errno: asseen.ErrnoOf(err)}
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return nil, none, &no{errno: unix.ELOOP}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o111 == 0 {
		return nil, none, &no{errno: unix.EACCES}
	}
	c, errno := w.s.files.Of(pl.FD, &st, false)
	if errno == 0 && c.Form == execfile.Script && p.shows(&st) {
		c, errno = w.s.files.Of(pl.FD, &st, true)
	}
	if errno != 0 {
		return nil, none, &no{unix.EACCES, "its content cannot be read: " + errno.Error()}
	}
	if c.Form == execfile.Other {
		return nil, none, &no{errno: unix.ENOEXEC}
	}
	return c, countersign.Executable{Path: pl.Real, Dev: uint64(st.Dev), Ino: st.Ino, SHA256: c.Hash}, nil
}

// program finds what an interpreter will read, and binds it.
func (w *worker) program(p *plan) {
	e := &p.exec
	exe := e.Exe.Path
	if n := len(e.Interp); n > 0 {
		exe = e.Interp[n-1].Path
	}
	prog := interp.Parse(exe, p.loaded)
	p.node, p.once = prog.Modules, prog.Once
	for _, name := range prog.Scripts {
		if len(p.operands) > 0 && name == p.operands[0].name {
			continue // the shebang's own script
		}
		w.bind(p, name, true)
	}
	if n := len(p.operands); n > 0 {
		p.operands[n-1].main = true
	}
	if len(e.Interp) > 0 && len(e.Argv) > 0 {
		// A shim that is called as an interpreter starts the real one later.
		shim := interp.Parse(e.Invoked, e.Argv)
		prog.Stdin = prog.Stdin || shim.Stdin
		for _, name := range shim.Scripts {
			w.bind(p, name, false)
		}
	}
	if p.whole && interp.TakesCommands(exe, p.loaded) {
		prog.Stdin = true // what it starts is named by its input, which is the agent's
	}
	if p.whole || prog.Stdin { // else nothing hangs on it
		e.Stdin = w.t.stdin()
	}
	p.stream = p.stream || p.whole && interp.Descriptor(exe, p.loaded)
	e.ProgramFromAgent = p.stream || prog.Stdin && e.Stdin != countersign.StdinNull && e.Stdin != countersign.StdinNone
}

// bind adds a script by the name that the interpreter was given. One that is
// not there is bound as such: whatever appears under its name is not approved.
func (w *worker) bind(p *plan, name string, watch bool) {
	full := w.abs(p, name)
	s := countersign.Script{Path: path.Clean(full)}
	o := operand{script: len(p.exec.Scripts), name: name, writable: true, watch: watch}
	for _, try := range w.candidates(p, name) {
		pl, errno := w.s.resolve(&w.t, try, true)
		if errno != 0 {
			continue
		}
		c := w.regular(p, &pl)
		pl.Close()
		if c == nil {
			continue
		}
		s = countersign.Script{Path: pl.Real, SHA256: c.Hash, Content: c.Text}
		o.writable = w.writable(pl.Hops)
		break
	}
	p.operands = append(p.operands, o)
	p.exec.Scripts = append(p.exec.Scripts, s)
}

// regular is the content of a place if that is a file.
func (w *worker) regular(p *plan, pl *asseen.Place) *execfile.Content {
	var st unix.Stat_t
	if unix.Fstat(pl.FD, &st) != nil {
		return nil
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFIFO, unix.S_IFSOCK:
		p.stream = true // /dev/stdin, /dev/fd/N: whoever writes there writes the program
		return nil
	case unix.S_IFCHR:
		p.stream = p.stream || unix.Major(st.Rdev) != 1 // not of /dev/null and its like
		return nil
	default:
		return nil
	}
	c, errno := w.s.files.Of(pl.FD, &st, p.shows(&st))
	if errno != 0 {
		return nil
	}
	return c
}

// candidates are the files that an interpreter tries for a name: a shell looks
// in PATH, node adds endings, and a directory has a main file.
func (w *worker) candidates(p *plan, name string) []string {
	full := w.abs(p, name)
	out := []string{full}
	if p.node {
		out = append(out, full+".js", full+".mjs", full+".cjs", full+".json")
		if main := w.packageMain(full); main != "" {
			out = append(out, full+"/"+main, full+"/"+main+".js", full+"/"+main+"/index.js")
		}
		return append(out, full+"/index.js")
	}
	out = append(out, full+"/__main__.py")
	if strings.Contains(name, "/") {
		return out
	}
	for _, kv := range p.exec.Env {
		if list, ok := strings.CutPrefix(kv, "PATH="); ok {
			for _, dir := range strings.Split(list, ":") {
				if strings.HasPrefix(dir, "/") {
					out = append(out, dir+"/"+name)
				}
			}
		}
	}
	return out
}

// packageMain is the main file that a directory's package.json names.
func (w *worker) packageMain(dir string) string {
	pl, errno := w.s.resolve(&w.t, dir+"/package.json", true)
	if errno != 0 {
		return ""
	}
	defer pl.Close()
	var pkg struct{ Main string }
	if c := w.regular(&plan{whole: true}, &pl); c == nil || json.Unmarshal(c.Text, &pkg) != nil {
		return ""
	}
	return pkg.Main
}

// environment is one that execs had, and how it differs from the session's
// baseline. It is not changed: it hardly changes from one command to the next.
type environment struct {
	raw   []byte
	list  []string
	delta []countersign.EnvChange
}

func (s *Supervisor) environment(raw []byte) environment {
	e := environment{raw: raw, list: seccomp.Split(raw)}
	seen := make(map[string]bool, len(s.baseline))
	for _, kv := range e.list {
		name, value := cutEnv(kv)
		base, known := s.baseline[name]
		if !known || base != value {
			e.delta = append(e.delta, countersign.EnvChange{Name: name, Value: value})
		}
		seen[name] = known
	}
	for name := range s.baseline {
		if !seen[name] {
			e.delta = append(e.delta, countersign.EnvChange{Name: name, Unset: true})
		}
	}
	e.delta = slices.Clip(e.delta)
	return e
}
