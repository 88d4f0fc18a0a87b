//go:build amd64 || arm64

package selftest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

func processAttempts() map[string]attempt {
	return map[string]attempt{
		"ptrace":       done(func([]string) error { return onFirstThread(traceMe) }),
		"vmread":       done(func([]string) error { return ownMemory(unix.SYS_PROCESS_VM_READV) }),
		"vmwrite":      done(func([]string) error { return ownMemory(unix.SYS_PROCESS_VM_WRITEV) }),
		"getfd":        done(getDescriptor),
		"kcmp":         done(func([]string) error { p := uintptr(os.Getpid()); return call(unix.SYS_KCMP, p, p, 0, 0, 0) }),
		"listener":     done(listener),
		"unshare":      done(unshare),
		"cloneuser":    done(func([]string) error { return fork(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD), 0) }),
		"clone3":       done(cloneThree),
		"setns":        done(setns),
		"ioctl":        done(terminal),
		"selfmem":      done(func([]string) error { _, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0); return err }),
		"kill":         done(func(a []string) error { return of(a, unix.Kill(number(a[0]), 0)) }),
		"signal":       done(func(a []string) error { return unix.Kill(number(a[0]), 0) }),
		"memory":       done(func(a []string) error { _, err := os.Open("/proc/" + a[0] + "/mem"); return of(a, err) }),
		"shm":          sharedMemory,
		"descriptors":  done(descriptors),
		"newprivs":     done(newPrivileges),
		"capabilities": done(capabilities),
		"corelimit":    done(coreLimit),
	}
}

func traceMe() error { return call(unix.SYS_PTRACE, unix.PTRACE_TRACEME) }

// onFirstThread calls f on the process's first thread and keeps it there: of another
// that is traced nobody hears the end, and the process that has it never ends for its
// parent (ptrace(2), "Death under ptrace").
func onFirstThread(f func() error) error {
	type result struct {
		err   error
		first bool
	}
	out, never := make(chan result), make(chan struct{})
	for range 256 {
		go func() {
			runtime.LockOSThread()
			if unix.Gettid() == unix.Getpid() {
				out <- result{f(), true}
			} else {
				out <- result{}
			}
			<-never // so that the next one gets another thread
		}()
		if r := <-out; r.first {
			return r.err
		}
	}
	return errors.New("the first thread is not to be had")
}

func number(s string) int { n, _ := strconv.Atoi(s); return n }

func call(nr uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	_, _, e := unix.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	if e != 0 {
		return e
	}
	return nil
}

// of makes sure that the process of a number is the one that was meant.
func of(a []string, err error) error {
	if err != nil {
		return err
	}
	b, err := os.ReadFile("/proc/" + a[0] + "/cmdline")
	if err == nil && !bytes.Contains(b, []byte(a[1])) {
		return errNot
	}
	return err
}

func ownMemory(nr uintptr) error {
	var from, to [8]byte
	local, remote := unix.Iovec{Base: &to[0], Len: 8}, unix.Iovec{Base: &from[0], Len: 8}
	return call(nr, uintptr(os.Getpid()), uintptr(unsafe.Pointer(&local)), 1, uintptr(unsafe.Pointer(&remote)), 1, 0)
}

func getDescriptor([]string) error {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnmade, err)
	}
	_, err = unix.PidfdGetfd(fd, 0, 0)
	return err
}

// listener installs a filter that lets everything go, and asks for its listener.
func listener([]string) error {
	runtime.LockOSThread() // it has the filter from then on
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("%w: %w", errUnmade, err)
	}
	code := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0x7fff0000}}
	prog := unix.SockFprog{Len: 1, Filter: &code[0]}
	return call(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&prog)))
}

func unshare(a []string) error {
	runtime.LockOSThread()
	return unix.Unshare(map[string]int{"user": unix.CLONE_NEWUSER, "mount": unix.CLONE_NEWNS, "time": unix.CLONE_NEWTIME}[a[0]])
}

// fork makes a child that ends at once.
func fork(nr, a, b uintptr) error {
	runtime.LockOSThread()
	pid, _, e := unix.RawSyscall6(nr, a, b, 0, 0, 0, 0)
	if e != 0 {
		return e
	}
	if pid == 0 {
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	var ws unix.WaitStatus
	_, err := unix.Wait4(int(pid), &ws, 0, nil)
	return err
}

// cloneThree makes a user namespace by flags that lie in memory.
func cloneThree([]string) error {
	args := [11]uint64{0: unix.CLONE_NEWUSER, 4: uint64(unix.SIGCHLD)} // struct clone_args, clone(2)
	return fork(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args))
}

func setns([]string) error {
	runtime.LockOSThread()
	fd, err := unix.Open("/proc/self/ns/net", unix.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnmade, err)
	}
	return unix.Setns(fd, unix.CLONE_NEWNET)
}

func terminal(a []string) error {
	request := map[string]uintptr{"TIOCSTI": unix.TIOCSTI, "TIOCLINUX": unix.TIOCLINUX, "TIOCSETD": unix.TIOCSETD}[a[0]]
	var arg [8]byte
	return call(unix.SYS_IOCTL, 0, request, uintptr(unsafe.Pointer(&arg)))
}

func sharedMemory(a []string) ([]byte, error) {
	b, err := unix.SysvShmAttach(number(a[0]), 0, unix.SHM_RDONLY)
	if err != nil {
		return nil, err
	}
	return bytes.Clone(b[:min(len(b), 256)]), nil
}

// descriptors succeeds if this process has one that nobody gave it.
func descriptors([]string) error {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, n := range names {
		to, err := os.Readlink("/proc/self/fd/" + n.Name())
		if err != nil || number(n.Name()) < 3 {
			continue
		}
		for _, kind := range []string{"socket:", "seccomp", "memfd:", "/dev/fuse", "pidfd", "ledger", "control"} {
			if strings.Contains(to, kind) {
				return nil
			}
		}
	}
	return errNot
}

func newPrivileges([]string) error {
	n, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err == nil && n == 1 {
		return errNot
	}
	return err
}

// capabilities succeeds if one is held, or could ever come back.
func capabilities([]string) error {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 2 && strings.HasPrefix(f[0], "Cap") && strings.Trim(f[1], "0") != "" {
			return nil
		}
	}
	return errNot
}

// coreLimit succeeds if this process could leave a core dump; 1 is none (core(5)).
func coreLimit([]string) error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &l); err != nil {
		return err
	}
	if l.Max <= 1 {
		return errNot
	}
	return nil
}
