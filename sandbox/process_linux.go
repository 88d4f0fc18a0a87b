package sandbox

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/sandbox/view"
)

// Process is the agent, or another command beside it. It waits before its first
// exec until Go.
type Process struct {
	Listener *os.File // of its seccomp filter, to be supervised before Go; nil without gate
	PTY      *os.File // master of its terminal, or nil

	link *link
	id   uint64
	from chan event

	relays []*relay // of its output
	once   sync.Once
	done   chan struct{}
	exit   int
	err    error
}

// Spawn starts one more command in the same view, with a filter and a listener
// of its own. It waits before its first exec, as the agent does after Start.
func (s *Sandbox) Spawn(c Command) (*Process, error) {
	p := &Process{link: s.init, done: make(chan struct{})}
	p.id, p.from = s.init.id(4)
	var fds []int
	if !c.TTY {
		files, relays, err := stdio(c)
		if err != nil {
			return nil, err
		}
		defer view.CloseAll(files)
		p.relays = relays
		for _, f := range files {
			fds = append(fds, int(f.Fd()))
		}
	}
	err := s.init.conn.Send(view.Message{Op: view.OpSpawn, ID: p.id, Spawn: &view.Spawn{
		Path: c.Path, Argv: c.Argv, Env: c.Env, Dir: c.Dir, Whole: c.Whole, TTY: c.TTY, Ctty: c.Ctty, Rows: c.Rows, Cols: c.Cols,
	}}, fds...)
	if err != nil {
		return nil, err
	}
	e, err := s.init.wait(p.from)
	if err != nil {
		return nil, err
	}
	for _, f := range e.files {
		switch {
		case c.TTY && f == e.files[len(e.files)-1]:
			p.PTY, err = pollable(f)
		default:
			p.Listener = f
		}
	}
	return p, err
}

// pollable makes reads of a terminal's master end when it is closed.
func pollable(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	f.Close()
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "/dev/ptmx"), nil
}

// Try has the thread that waits with the command's filter make the calls of
// internal/trial, and returns its answers. Whoever supervises the Listener must
// already do so, and Go must come after.
func (p *Process) Try(denied string) ([]int, error) {
	if err := p.link.conn.Send(view.Message{Op: view.OpTry, ID: p.id, Paths: []string{denied}}); err != nil {
		return nil, err
	}
	e, err := p.link.wait(p.from)
	return e.m.Errnos, err
}

// Go lets the command make its first exec, and returns when that is done, or
// refused: then with the errno in the chain. Whoever supervises the Listener
// must already do so.
func (p *Process) Go() error {
	if err := p.link.conn.Send(view.Message{Op: view.OpGo, ID: p.id}); err != nil {
		return err
	}
	_, err := p.link.wait(p.from)
	if err != nil {
		p.end(0, err)
		return &countersign.Error{Code: countersign.ENotFound, Op: "start", Thing: "the command", Err: err}
	}
	go func() {
		e, err := p.link.wait(p.from)
		if err != nil {
			err = fmt.Errorf("the sandbox ended before its command: %w", err)
		}
		for _, r := range p.relays {
			err = errors.Join(err, r.settle())
		}
		p.end(e.m.Exit, err)
	}()
	return nil
}

func (p *Process) end(exit int, err error) {
	p.once.Do(func() {
		p.exit, p.err = exit, err
		p.link.forget(p.id)
		close(p.done)
	})
}

// Signal sends a signal to the process group that the command was started in.
func (p *Process) Signal(sig unix.Signal) error {
	return p.link.conn.Send(view.Message{Op: view.OpSignal, ID: p.id, Sig: int(sig)})
}

// Done is closed when the command has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the end of a command that runs, and until what it wrote is in
// the host's files: its exit status, or 128 and the signal that ended it. What it
// left behind goes on until Kill.
func (p *Process) Wait() (exit int, err error) {
	<-p.done
	return p.exit, p.err
}
