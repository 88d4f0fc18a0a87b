//go:build amd64 || arm64

package held

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// StandIn has the process that this thread holds at its exec stop wait for what
// goes on elsewhere, and then end with the status that elsewhere returns, 0 to 255.
// Of its image not one instruction runs: it makes two system calls from the page
// that the kernel maps into every process (vdso(7)), ppoll and exit_group. Signals
// that it gets, and does not ignore, go to signal in its place; SIGKILL also when
// it was killed. why says what kept it from standing in; then elsewhere was not
// called, and the process is still held.
func (h *Thread) StandIn(pid int, elsewhere func() int, signal func(unix.Signal)) (why string) {
	at, err := gate(pid)
	if err != nil {
		return "nothing can stand in for it: " + err.Error()
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return "nothing can stand in for it: " + err.Error()
	}
	defer unix.Close(fd)
	ignored := ignores(pid)
	if why := h.still(pid, at); why != "" {
		return why
	}
	var over atomic.Bool
	var exit int
	ended := make(chan struct{})
	go func() {
		exit = elsewhere()
		over.Store(true)
		_ = unix.PidfdSendSignal(fd, unix.SIGSTOP, nil, 0) // none can block it; nobody gets to see it
		close(ended)
	}()
	defer func() { <-ended }()
	for leaving := false; ; {
		tid, st, errno := h.Wait()
		switch {
		case errno != 0, tid == pid && (st.Exited() || st.Signaled()):
			signal(unix.SIGKILL)
			return ""
		case !st.Stopped():
			continue
		case leaving: // what comes on the way out meets nobody
		case over.Load():
			leaving = true
			if call(pid, at, unix.SYS_EXIT_GROUP, uint64(exit&0xff)) != nil {
				h.Kill(pid)
				return ""
			}
		case int(st)>>16 == 0:
			if sig := st.StopSignal(); !pass(sig, ignored, signal) {
				Ptrace(unix.PTRACE_CONT, pid, 0, uintptr(sig))
				continue
			}
		}
		Ptrace(unix.PTRACE_CONT, pid, 0, 0)
	}
}

// pass hands a signal on. It does not take those of a fault, of which the process
// itself must die.
func pass(sig unix.Signal, ignored uint64, signal func(unix.Signal)) bool {
	switch sig {
	case unix.SIGSEGV, unix.SIGILL, unix.SIGBUS, unix.SIGFPE, unix.SIGTRAP, unix.SIGSYS:
		return false
	case unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
		sig = unix.SIGSTOP
	}
	if ignored>>(uint(sig)-1)&1 == 0 {
		signal(sig)
	}
	return true
}

// still takes the process from its exec stop into a call that does not end.
func (h *Thread) still(pid int, at uint64) (why string) {
	Ptrace(unix.PTRACE_SETOPTIONS, pid, 0, unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_EXITKILL)
	for {
		// The exec's own return comes before whatever waits to be delivered.
		if errno := Ptrace(unix.PTRACE_SYSCALL, pid, 0, 0); errno != 0 {
			return "it was lost: " + errno.Error()
		}
		tid, st, errno := h.Wait()
		switch {
		case errno != 0:
			return "it was lost: " + errno.Error()
		case tid == pid && (st.Exited() || st.Signaled()):
			return "it was killed"
		case !st.Stopped() || st.StopSignal() != unix.SIGTRAP|0x80:
			continue
		}
		if err := call(pid, at, unix.SYS_PPOLL, 0); err != nil {
			return "its registers cannot be set: " + err.Error()
		}
		Ptrace(unix.PTRACE_CONT, pid, 0, 0)
		return ""
	}
}

// maxVDSO is more than any kernel maps, in bytes.
const maxVDSO = 1 << 16

// gate finds the instruction of a system call in the kernel's page.
func gate(pid int) (uint64, error) {
	if i, errno := new(Thread).Info(pid); errno != 0 || i.Arch != arch {
		return 0, errors.New("it is a program of another word size")
	}
	maps, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/maps")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.HasSuffix(strings.TrimSpace(line), " [vdso]") {
			continue
		}
		span, _, _ := strings.Cut(line, " ")
		lo, hi, _ := strings.Cut(span, "-")
		from, err1 := strconv.ParseUint(lo, 16, 64)
		to, err2 := strconv.ParseUint(hi, 16, 64)
		if err := errors.Join(err1, err2); err != nil || to <= from || to-from > maxVDSO {
			break
		}
		text := make([]byte, to-from)
		n, err := unix.ProcessVMReadv(pid, []unix.Iovec{{Base: &text[0], Len: uint64(len(text))}}, []unix.RemoteIovec{{Base: uintptr(from), Len: len(text)}}, 0)
		if err != nil {
			return 0, err
		}
		for i := 0; ; i++ {
			k := bytes.Index(text[i:n], trap)
			if k < 0 {
				break
			}
			if i += k; i%step == 0 {
				return from + uint64(i), nil
			}
		}
	}
	return 0, errors.New("the kernel maps no page of its own into it")
}

// ignores are the signals that a process ignores, the first in the lowest bit.
func ignores(pid int) uint64 {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	_, rest, _ := strings.Cut(string(b), "\nSigIgn:")
	line, _, _ := strings.Cut(rest, "\n")
	set, _ := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	return set
}
