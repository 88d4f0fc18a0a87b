package view

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/internal/loopdoors"
	"github.com/countersign/countersign/sandbox/seccomp"
)

// initd is pid 1 of the session.
type initd struct {
	plan   Plan
	ctl    *Conn
	filter []unix.SockFilter // nil: no gate

	mu       sync.Mutex
	children map[int]uint64 // pid of a started command: its spawn
	early    map[int]int    // exits of children not yet in the list
	starting int            // spawns between fork and their entry in the list
	waiting  map[uint64]*command
	whole    map[uint64]*command // those that run and are to end whole
}

func runInit() error {
	// Before anything of the agent exists: with its uid it could otherwise
	// write into this process, which no filter holds.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("not dumpable: %w", err)
	}
	// A command that waits for its first exec holds a thread that the collector
	// would wait for; so there is none before 64 MiB, which this process never needs.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(64 << 20)
	plan, err := readPlan(fdFilters)
	if err != nil {
		return err
	}
	ctl, err := newConn(fdControl)
	if err != nil {
		return err
	}
	i := &initd{plan: plan, ctl: ctl, children: map[int]uint64{}, early: map[int]int{}, waiting: map[uint64]*command{}, whole: map[uint64]*command{}}
	if plan.Gate {
		if i.filter, err = seccomp.Program(seccomp.Table()); err != nil {
			return err
		}
	}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals) // the agent may send any: none may end this process
	go i.reap(signals)
	if err := i.prepare(); err != nil {
		return err
	}
	return i.serve()
}

// prepare does what needs capabilities, and gives them up.
func (i *initd) prepare() error {
	if err := mountProc(); err != nil {
		return err
	}
	if err := mountSys(); err != nil {
		return err
	}
	ready := os.NewFile(fdReady, "ready")
	if _, err := ready.Write([]byte{1}); err != nil {
		return err
	}
	ready.Close()
	fds, err := loopdoors.Open(i.plan.GatewayPort, i.plan.Listen)
	if err != nil {
		return err
	}
	defer closeAll(fds)
	// 1, not 0: a core pattern that pipes ignores 0 and heeds 1 (core(5)).
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1}); err != nil {
		return fmt.Errorf("no core dumps: %w", err)
	}
	if err := dropAll(); err != nil {
		return err
	}
	return i.ctl.Send(Message{Op: OpNet}, fds...)
}

// dropAll gives up every capability, on every thread.
func dropAll() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if _, _, e := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&data)), 0); e != 0 {
		return fmt.Errorf("drop capabilities: %w", e)
	}
	return nil
}

// serve does what the session asks until its end of the socket closes; with
// this process, everything in its pid namespace ends.
func (i *initd) serve() error {
	for {
		m, files, err := i.ctl.Receive()
		if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) {
			return nil
		}
		if err != nil {
			return err
		}
		switch m.Op {
		case OpSpawn:
			go i.spawn(m, files)
		case OpTry:
			go i.try(m)
		case OpGo:
			i.release(m.ID)
		case OpSocket:
			if err := i.socket(m); err != nil {
				return err
			}
		case OpSignal:
			i.signal(m.ID, unix.Signal(m.Sig))
		}
	}
}

// socket hands out a socket of this network namespace, by which the session
// reaches who listens inside, or asks whose a connection is.
func (i *initd) socket(m Message) error {
	kind, proto := unix.SOCK_STREAM, 0
	if m.Family == unix.AF_NETLINK {
		kind, proto = unix.SOCK_DGRAM, unix.NETLINK_SOCK_DIAG
	}
	fd, err := unix.Socket(m.Family, kind|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		return i.ctl.Send(Message{Op: m.Op, ID: m.ID, Fault: err.Error()})
	}
	defer unix.Close(fd)
	return i.ctl.Send(Message{Op: m.Op, ID: m.ID}, fd)
}

// signal reaches the process group that a command was started in. The lock
// keeps its pid from being another's: it is not reaped meanwhile.
func (i *initd) signal(id uint64, sig unix.Signal) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for pid, of := range i.children {
		if of == id {
			_ = unix.Kill(-pid, sig)
			if sig == unix.SIGKILL { // it may have left its group
				_ = unix.Kill(pid, sig)
			}
		}
	}
}

// reap collects every child, and reports those that the session started.
func (i *initd) reap(signals <-chan os.Signal) {
	for s := range signals {
		if s != unix.SIGCHLD {
			continue
		}
		for i.reapOne() {
		}
	}
}

// reapOne collects one child and reports whether there was one. It holds the
// lock throughout, so that a listed pid is never another's.
func (i *initd) reapOne() bool {
	var ws unix.WaitStatus
	i.mu.Lock()
	pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
	if err == unix.EINTR {
		i.mu.Unlock()
		return true
	}
	if err != nil || pid <= 0 {
		i.mu.Unlock()
		return false
	}
	id, ok := i.children[pid]
	delete(i.children, pid)
	if !ok && i.starting > 0 {
		i.early[pid] = exitCode(ws)
	}
	i.mu.Unlock()
	if ok {
		i.sendExit(id, exitCode(ws))
	}
	return true
}

func exitCode(ws unix.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

func (i *initd) sendExit(id uint64, code int) {
	i.mu.Lock()
	c := i.whole[id]
	delete(i.whole, id)
	i.mu.Unlock()
	if c != nil {
		close(c.over)
		<-c.swept
	}
	if err := i.ctl.Send(Message{Op: OpExit, ID: id, Exit: code}); err != nil {
		os.Exit(1) // nobody is there any more
	}
}

// started enters a child; it may have ended already.
func (i *initd) started(id uint64, pid int) {
	i.mu.Lock()
	i.starting--
	code, gone := i.early[pid]
	if gone {
		delete(i.early, pid)
	} else if pid > 0 {
		i.children[pid] = id
	}
	if i.starting == 0 {
		clear(i.early)
	}
	i.mu.Unlock()
	if gone {
		i.sendExit(id, code)
	}
}
