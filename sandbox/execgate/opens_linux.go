//go:build amd64 || arm64

package execgate

import (
	"path"
	"strings"

	"github.com/countersign/countersign/sandbox/execgate/held"
	"golang.org/x/sys/unix"
)

// opens follows an interpreter from its exec stop until it has opened its
// script, system call by system call, in every thread of its process.
type opens struct {
	h       *held.Thread
	w       *worker
	p       *pins
	cwd     string
	pid     int
	threads map[int]*opening
	left    bool // it went on to another image
	after   int  // stops since its program was first opened
}

// graceStops is how many stops (two a system call) an interpreter that may open
// its program again is followed after the first time. Nothing that the agent
// can reach makes that way longer.
const graceStops = 2000

// opening is one thread between the entry and the exit of a call.
type opening struct {
	call   uint64
	inside bool
	name   uint64 // address of the path of an open
	dirfd  int
}

const optsOpens = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL

// watchOpens lets the process go once its interpreter holds the sealed copy,
// and says why it must die if it opened another file as its program.
func watchOpens(h *held.Thread, pid int, w *worker, p *pins, cwd string) (why string) {
	o := &opens{h: h, w: w, p: p, cwd: cwd, pid: pid, threads: map[int]*opening{pid: {}}}
	held.Ptrace(unix.PTRACE_SETOPTIONS, pid, 0, optsOpens)
	held.Ptrace(unix.PTRACE_SYSCALL, pid, 0, 0)
	for {
		tid, st, errno := h.Wait()
		if errno != 0 {
			return "" // all gone
		}
		if st.Exited() || st.Signaled() {
			delete(o.threads, tid)
			if tid == pid {
				return ""
			}
			continue
		}
		done, why := o.stop(tid, st)
		if why != "" {
			return why
		}
		if done {
			if !o.left {
				w.s.tree.opened(pid)
			}
			o.letGo(tid)
			return ""
		}
	}
}

// stop handles one stop of one thread and sets it going again.
func (o *opens) stop(tid int, st unix.WaitStatus) (done bool, why string) {
	t := o.threads[tid]
	if t == nil {
		t = &opening{}
		o.threads[tid] = t
	}
	sig, event := st.StopSignal(), int(st)>>16
	switch {
	case sig == unix.SIGTRAP|0x80:
		if done, why = o.call(tid, t); done || why != "" {
			return done, why
		}
		if o.p.held {
			if o.after++; o.after > graceStops {
				return true, ""
			}
		}
		sig = 0
	case event == unix.PTRACE_EVENT_STOP && sig != unix.SIGTRAP:
		held.Ptrace(unix.PTRACE_LISTEN, tid, 0, 0) // a group stop: it stays stopped
		return false, ""
	case event != 0:
		sig = 0
	}
	held.Ptrace(unix.PTRACE_SYSCALL, tid, 0, uintptr(sig))
	return false, ""
}

// call looks at the entry or the exit of a system call.
func (o *opens) call(tid int, t *opening) (done bool, why string) {
	info, errno := o.h.Info(tid)
	if errno != 0 {
		return false, "its calls cannot be followed"
	}
	switch info.Op {
	case unix.PTRACE_SYSCALL_INFO_ENTRY:
		t.call, t.dirfd, t.name = info.NR, unix.AT_FDCWD, 0
		switch info.NR {
		case unix.SYS_EXIT_GROUP:
			return o.p.held, ""
		case unix.SYS_EXECVE, unix.SYS_EXECVEAT:
			o.left = !o.p.held
			return true, "" // it goes on in another image: the pins go with it
		case unix.SYS_OPENAT, unix.SYS_OPENAT2:
			t.dirfd, t.name = int(int32(info.Args[0])), info.Args[1]
		case sysOpen:
			t.name = info.Args[0]
		}
	case unix.PTRACE_SYSCALL_INFO_EXIT:
		if fd := int64(info.NR); t.name != 0 && fd >= 0 {
			return o.opened(tid, t, int(fd))
		}
	}
	return false, ""
}

// opened compares an opened file with the sealed copies. The path was read
// after the call: it is only a name, the file is what counts.
func (o *opens) opened(tid int, t *opening, fd int) (done bool, why string) {
	link := proc(tid, "fd/") + itoa(fd)
	var st unix.Stat_t
	if unix.Stat(link, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return false, ""
	}
	o.w.m.TID = tid
	raw, errno := o.w.m.String(nil, t.name, unix.PathMax)
	if errno != 0 {
		return false, "the name of a file that it opened cannot be read"
	}
	name := string(raw)
	if !strings.HasPrefix(name, "/") {
		dir := o.cwd
		if t.dirfd != unix.AT_FDCWD {
			dir, _ = readLinkOf(proc(tid, "fd/") + itoa(t.dirfd))
		}
		name = dir + "/" + name
	}
	done, why = o.p.judge(path.Clean(name), uint64(st.Dev), st.Ino, o.w.s.cfg.Writable)
	if done && o.p.more {
		o.p.held, done = true, false
	}
	return done, why
}

// letGo detaches every thread; tid is the one that stands still. A thread that
// was just born is held too, and nothing was heard of it yet: there is an end
// when the kernel says that nothing is held any more.
func (o *opens) letGo(tid int) {
	o.h.Detach(tid, 0)
	delete(o.threads, tid)
	for t := range o.threads {
		held.Ptrace(unix.PTRACE_INTERRUPT, t, 0, 0)
	}
	for {
		t, st, errno := o.h.Wait()
		if errno != 0 {
			return
		}
		if st.Stopped() {
			sig := unix.Signal(0)
			if event := int(st) >> 16; event == 0 && st.StopSignal() != unix.SIGTRAP|0x80 {
				sig = st.StopSignal()
			}
			o.h.Detach(t, sig)
		}
	}
}
