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
	"github.com/countersign/countersign/internal/newpty"
	"github.com/countersign/countersign/internal/trial"
	"github.com/countersign/countersign/sandbox/seccomp"
)

// command is a spawn between its filter and its first exec.
type command struct {
	id    uint64
	spec  Spawn
	files []*os.File // descriptors 0, 1, 2
	tty   bool
	asks  chan ask // closed when the session is ready for its first exec

	over, swept chan struct{} // closed when it has ended, and when what it had started has
}

// ask is a request to a thread with a filter: the calls of a trial.
type ask struct {
	path string
	said chan []int
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
		for ask := range c.asks {
			ask.said <- trial.Make(ask.path)
		}
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
	c := &command{id: m.ID, spec: *m.Spawn, files: files, asks: make(chan ask), over: make(chan struct{}), swept: make(chan struct{})}
	var master *os.File
	if c.spec.TTY {
		var err error
		var slave *os.File
		if master, slave, err = newpty.Open(c.spec.Rows, c.spec.Cols); err != nil {
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
		close(c.asks)
	}
}

// try has the thread of a command that waits make the calls of a trial.
func (i *initd) try(m Message) {
	i.mu.Lock()
	c := i.waiting[m.ID]
	i.mu.Unlock()
	if c == nil || len(m.Paths) != 1 {
		i.fail(m, errors.New("try: no such command waits"))
		return
	}
	said := make(chan []int)
	c.asks <- ask{m.Paths[0], said}
	if err := i.ctl.Send(Message{Op: m.Op, ID: m.ID, Errnos: <-said}); err != nil {
		os.Exit(1)
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
