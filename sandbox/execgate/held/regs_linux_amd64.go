package held

import "golang.org/x/sys/unix"

const arch = unix.AUDIT_ARCH_X86_64

// trap is the instruction syscall.
var trap = []byte{0x0f, 0x05}

const step = 1 // at which instructions begin

// call has a stopped process make a system call next, by the instruction at an
// address, with one argument and five that are 0.
func call(pid int, at, nr, arg uint64) error {
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(pid, &r); err != nil {
		return err
	}
	r.Rip, r.Rax, r.Rdi = at, nr, arg
	r.Rsi, r.Rdx, r.R10, r.R8, r.R9 = 0, 0, 0, 0, 0
	r.Orig_rax = ^uint64(0) // it is in no call that could be restarted
	return unix.PtraceSetRegs(pid, &r)
}
