package seccomp

import "golang.org/x/sys/unix"

// Arch is the one architecture whose calls are looked at by number.
const Arch = unix.AUDIT_ARCH_X86_64

// abiBit marks calls of the x32 ABI, which share Arch (and the invalid number
// -1). Calls at or above it are foreign.
const abiBit = 0x40000000

func archRows() []Row {
	return []Row{
		refuse("mknod", unix.SYS_MKNOD, "makes a device node", masked(in(1, unix.S_IFCHR, unix.S_IFBLK), unix.S_IFMT)),
		named("unlink", unix.SYS_UNLINK),
		named("rmdir", unix.SYS_RMDIR),
		named("rename", unix.SYS_RENAME),
		named("link", unix.SYS_LINK),
		refuse("modify_ldt", unix.SYS_MODIFY_LDT, whyAttack),
		refuse("iopl", unix.SYS_IOPL, whyKernel),
		refuse("ioperm", unix.SYS_IOPERM, whyKernel),
	}
}
