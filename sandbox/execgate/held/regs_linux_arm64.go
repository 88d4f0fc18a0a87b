package held

import "golang.org/x/sys/unix"

const arch = unix.AUDIT_ARCH_AARCH64

// trap is the instruction svc #0.
var trap = []byte{0x01, 0x00, 0x00, 0xd4}

const step = 4 // at which instructions begin

// prStatus is NT_PRSTATUS (elf.h): the general registers.
const prStatus = 1

// call has a stopped process make a system call next, by the instruction at an
// address, with one argument and five that are 0.
func call(pid int, at, nr, arg uint64) error {
	var r unix.PtraceRegsArm64
	if err := unix.PtraceGetRegSetArm64(pid, prStatus, &r); err != nil {
		return err
	}
	r.Pc, r.Regs[8], r.Regs[0] = at, nr, arg
	clear(r.Regs[1:6])
	return unix.PtraceSetRegSetArm64(pid, prStatus, &r)
}
