package view

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/internal/landlock"
	"github.com/countersign/countersign/sandbox/seccomp"
)

// command is a spawn between its filter and its first exec.
type command struct {
	id    uint64
	spec  Spawn
	files []*os.File // descriptors 0, 1, 2
	tty   bool
	gate  chan struct{} // closed when the session is ready for its first exec

	over, swept chan struct{} // closed when it has ended, and when what it had started has
}

// spawn starts a command on a thread of its own. The thread takes the filter
// and only then forks: the child inherits it, this process stays free of it. The
// thread must send nothing itself, because sendmsg is notified.
func (i *initd) spawn(m Message, files []*os.File) {
	c, master, err := i.newCommand(m, files)
	if err != nil {
		CloseAll(files)
		i.fail(m, err)
		return
	}
	type step struct {
		n   int // the listener, then the pid
		err error
	}
	steps := make(chan step)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		listener, err := i.bind(c)
		steps <- step{listener, err}
		if err != nil {
			return
		}
		<-c.gate
		pid, err := i.run(c)
		steps <- step{pid, err}
		if err == nil && c.spec.Whole {
			<-c.over
			_ = unix.Kill(-1, unix.SIGKILL) // from here: to its domain, and no other
			close(c.swept)
		}
	}()
	bound := <-steps
	if bound.err != nil {
		CloseAll(c.files)
		i.fail(m, bound.err)
		return
	}
	if err := i.offer(m, bound.n, master); err != nil {
		os.Exit(1)
	}
	ran := <-steps
	CloseAll(c.files)
	if ran.err != nil {
		i.fail(m, &os.PathError{Op: "exec", Path: c.spec.Argv[0], Err: ran.err})
	} else if err := i.ctl.Send(Message{Op: OpGo, ID: c.id, PID: ran.n}); err != nil {
		os.Exit(1)
	}
	i.started(c.id, ran.n)
}

// bind puts the domain and the filter on this thread, and returns the listener,
// or -1 without gate.
func (i *initd) bind(c *command) (int, error) {
	if c.spec.Whole && landlock.ABI() < landlock.Signals {
		return -1, errors.New("what it leaves behind could not be ended: this kernel's Landlock has no scope of signals (Linux 6.12)")
	}
	if err := landlock.Confine(); err != nil {
		return -1, err
	}
	if i.filter == nil {
		return -1, nil
	}
	listener, _, err := seccomp.Install(i.filter)
	return int(listener), err
}

// offer hands out what the session needs before the command may run.
func (i *initd) offer(m Message, listener int, master *os.File) error {
	var fds []int
	if listener >= 0 {
		fds = append(fds, listener)
		defer unix.Close(listener) // the session's must be the only one
	}
	if master != nil {
		fds = append(fds, int(master.Fd()))
		defer master.Close()
	}
	return i.ctl.Send(Message{Op: OpSpawn, ID: m.ID}, fds...)
}

func (i *initd) fail(m Message, err error) {
	answer := Message{Op: m.Op, ID: m.ID, Fault: err.Error()}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		answer.Errno = int(errno)
	}
	if err := i.ctl.Send(answer); err != nil {
		os.Exit(1)
	}
}

func (i *initd) newCommand(m Message, files []*os.File) (*command, *os.File, error) {
	if m.Spawn == nil || len(m.Spawn.Argv) == 0 {
		return nil, nil, errors.New("spawn: no command")
	}
	c := &command{id: m.ID, spec: *m.Spawn, files: files, gate: make(chan struct{}), over: make(chan struct{}), swept: make(chan struct{})}
	var master *os.File
	if c.spec.TTY {
		var err error
		var slave *os.File
		if master, slave, err = openPTY(c.spec.Rows, c.spec.Cols); err != nil {
			return nil, nil, err
		}
		c.files, c.tty = []*os.File{slave}, true
	} else if len(files) != 3 {
		return nil, nil, fmt.Errorf("spawn: %d descriptors, want 3", len(files))
	}
	i.mu.Lock()
	i.waiting[m.ID] = c
	if c.spec.Whole {
		i.whole[m.ID] = c
	}
	i.mu.Unlock()
	return c, master, nil
}

// release lets a waiting command run.
func (i *initd) release(id uint64) {
	i.mu.Lock()
	c := i.waiting[id]
	delete(i.waiting, id)
	i.mu.Unlock()
	if c != nil {
		close(c.gate)
	}
}

// run forks and execs on the filtered thread, and returns when the exec is done
// or refused. As long as that takes, this thread counts as running Go code: see
// runInit on the collector.
func (i *initd) run(c *command) (int, error) {
	i.mu.Lock()
	i.starting++
	i.mu.Unlock()
	path, err := c.spec.Path, error(nil)
	if path == "" {
		path, err = find(c.spec.Argv[0], c.spec.Env, c.spec.Dir)
	}
	if err != nil {
		return 0, err
	}
	return syscall.ForkExec(path, c.spec.Argv, c.attr())
}

func (c *command) attr() *syscall.ProcAttr {
	a := &syscall.ProcAttr{Dir: c.spec.Dir, Env: c.spec.Env, Sys: &syscall.SysProcAttr{Setsid: true}}
	if c.tty {
		fd := c.files[0].Fd()
		a.Files = []uintptr{fd, fd, fd}
		a.Sys.Setctty = true
		return a
	}
	for _, f := range c.files {
		a.Files = append(a.Files, f.Fd())
	}
	a.Sys.Setctty = c.spec.Ctty
	return a
}

// find looks a command up in the view as execvp does.
func find(name string, env []string, dir string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	path := "/usr/bin:/bin"
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = v
		}
	}
	err := error(unix.ENOENT)
	for _, d := range filepath.SplitList(path) {
		if !filepath.IsAbs(d) {
			d = filepath.Join(dir, d)
		}
		p := filepath.Join(d, name)
		switch e := unix.Access(p, unix.X_OK); e {
		case nil:
			return p, nil
		case unix.EACCES:
			err = e
		}
	}
	return "", err
}

// openPTY makes a terminal of the session's own devpts.
func openPTY(rows, cols uint16) (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: "/dev/ptmx", Err: err}
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err == nil && rows > 0 && cols > 0 {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
	}
	var n int
	if err == nil {
		n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("open a terminal: %w", err)
	}
	return master, slave, nil
}
