//go:build amd64 || arm64

package seccomp

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Do says what the supervisor (or the filter itself) does with a call.
type Do uint8

// What happens to a call that meets a row.
const (
	Gate   Do = iota + 1 // notified: an exec, decided by the gate
	Dial   Do = iota + 1 // notified: let go if the destination is local, else refused
	Reaper Do = iota + 1 // notified and let go: noted for the proof of lineage
	Refuse Do = iota + 1 // notified: refused with Errno, and a record
	Fail   Do = iota + 1 // the filter itself fails the call with Errno; no record
	Name   Do = iota + 1 // notified: let go unless a name of it is guarded
)

// Row is what happens to one call, and why. A call may have several rows: they
// are tried in order, and a call that meets none is let go.
type Row struct {
	Call   string
	NR     uint32
	Tests  []Test // all must hold; none: every such call
	Do     Do
	Errno  unix.Errno
	Reason string
}

// Test looks at the low 32 bits of one argument, which is all that the kernel
// takes of an int; a compare of 64 bits could be got round by setting the rest.
type Test struct {
	Arg    int
	Op     Op
	Mask   uint32   // for In, NotIn: applied first, 0 means all bits
	Values []uint32 // for In, NotIn
}

// Op is a comparison.
type Op uint8

// The comparisons.
const (
	In      Op = iota + 1 // the masked argument is one of Values
	NotIn                 // it is none of them
	AnyBit                // any bit of Mask is set
	NoBit                 // no bit of Mask is set
	Pointer               // the argument, all 64 bits of it, is not zero
)

const (
	newNS = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
		unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET
	sockType = 0xf // SOCK_TYPE_MASK of include/linux/net.h

	whyMount  = "would change the view of the file system"
	whyOther  = "reads or changes another process"
	whyKernel = "administers the kernel or the machine"
	whyKeys   = "the kernel's keyrings belong to the person, not the session"
	whyRing   = "requests on a ring pass no filter"
	whyAttack = "attack surface of the kernel that no build needs"
	whyNS     = "a namespace of its own would give it capabilities over a view of its own"
	whyFamily = "no way out but the doors: this address family is closed"
)

func any32(arg int, mask uint32) Test { return Test{Arg: arg, Op: AnyBit, Mask: mask} }
func in(arg int, v ...uint32) Test    { return Test{Arg: arg, Op: In, Values: v} }
func masked(t Test, mask uint32) Test { t.Mask = mask; return t }
func notIn(arg int, v ...uint32) Test { return Test{Arg: arg, Op: NotIn, Values: v} }
func refuse(call string, nr uint32, why string, tests ...Test) Row {
	return Row{Call: call, NR: nr, Tests: tests, Do: Refuse, Errno: unix.EPERM, Reason: why}
}

func (r Row) with(e unix.Errno) Row { r.Errno = e; return r }

// Table returns every row, in the order in which they are tried.
func Table() []Row {
	return slices.Concat(execRows(), nameRows(), mountRows(), processRows(), networkRows(), kernelRows(), archRows())
}

func execRows() []Row {
	return []Row{
		{Call: "execve", NR: unix.SYS_EXECVE, Do: Gate, Reason: "every command is decided"},
		{Call: "execveat", NR: unix.SYS_EXECVEAT, Do: Gate, Reason: "every command is decided"},
	}
}

func nameRows() []Row {
	return []Row{
		named("unlinkat", unix.SYS_UNLINKAT),
		named("renameat", unix.SYS_RENAMEAT),
		named("renameat2", unix.SYS_RENAMEAT2),
		named("linkat", unix.SYS_LINKAT),
	}
}

// named is a row of a call that the kernel refuses on a mount point without a
// word: it is looked at so that there is a record.
func named(call string, nr uint32) Row {
	return Row{Call: call, NR: nr, Do: Name, Errno: unix.EACCES, Reason: "removes, renames or links what is guarded"}
}

func mountRows() []Row {
	return []Row{
		refuse("mount", unix.SYS_MOUNT, whyMount),
		refuse("umount2", unix.SYS_UMOUNT2, whyMount),
		refuse("move_mount", unix.SYS_MOVE_MOUNT, whyMount),
		refuse("open_tree", unix.SYS_OPEN_TREE, whyMount),
		refuse("open_tree_attr", unix.SYS_OPEN_TREE_ATTR, whyMount),
		refuse("fsopen", unix.SYS_FSOPEN, whyMount),
		refuse("fsconfig", unix.SYS_FSCONFIG, whyMount),
		refuse("fsmount", unix.SYS_FSMOUNT, whyMount),
		refuse("fspick", unix.SYS_FSPICK, whyMount),
		refuse("mount_setattr", unix.SYS_MOUNT_SETATTR, whyMount),
		refuse("pivot_root", unix.SYS_PIVOT_ROOT, whyMount),
		refuse("chroot", unix.SYS_CHROOT, whyMount),
		refuse("open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, "opens files past every path"),
		refuse("mknodat", unix.SYS_MKNODAT, "makes a device node", masked(in(2, unix.S_IFCHR, unix.S_IFBLK), unix.S_IFMT)),
	}
}

func processRows() []Row {
	// A new process that shares its working directory (CLONE_FS) could be moved
	// by its maker after its exec was approved; one made as its maker's sibling
	// (CLONE_PARENT) would have a parent that did not start it. Threads may.
	process := Test{Arg: 0, Op: NoBit, Mask: unix.CLONE_THREAD}
	return []Row{
		refuse("clone", unix.SYS_CLONE, whyNS, any32(0, newNS)),
		refuse("clone", unix.SYS_CLONE, "a process that shares its working directory or its maker's parent hides who commands it",
			process, any32(0, unix.CLONE_FS|unix.CLONE_PARENT)),
		{Call: "clone3", NR: unix.SYS_CLONE3, Do: Fail, Errno: unix.ENOSYS, Reason: "its flags lie in memory; libc falls back to clone"},
		refuse("unshare", unix.SYS_UNSHARE, whyNS, any32(0, newNS|unix.CLONE_NEWTIME)),
		refuse("setns", unix.SYS_SETNS, whyNS),
		refuse("ptrace", unix.SYS_PTRACE, whyOther),
		refuse("process_vm_readv", unix.SYS_PROCESS_VM_READV, whyOther),
		refuse("process_vm_writev", unix.SYS_PROCESS_VM_WRITEV, whyOther),
		refuse("pidfd_getfd", unix.SYS_PIDFD_GETFD, whyOther),
		refuse("kcmp", unix.SYS_KCMP, whyOther),
		{Call: "prctl", NR: unix.SYS_PRCTL, Tests: []Test{in(0, unix.PR_SET_CHILD_SUBREAPER)}, Do: Reaper, Reason: "adopts orphans: noted, because it bears on lineage"},
		refuse("seccomp", unix.SYS_SECCOMP, "a listener of its own could answer in the gate's place",
			in(0, unix.SECCOMP_SET_MODE_FILTER), any32(1, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)),
		refuse("ioctl", unix.SYS_IOCTL, "types into a terminal or changes its line discipline", in(1, unix.TIOCSTI, unix.TIOCLINUX, unix.TIOCSETD)),
	}
}

func networkRows() []Row {
	const inet, inet6, local, netlink = unix.AF_INET, unix.AF_INET6, unix.AF_UNIX, unix.AF_NETLINK
	raw := masked(in(1, unix.SOCK_RAW, unix.SOCK_PACKET), sockType)
	dial := func(call string, nr uint32, tests ...Test) Row {
		return Row{Call: call, NR: nr, Tests: tests, Do: Dial, Errno: unix.ECONNREFUSED, Reason: "no network but the doors"}
	}
	return []Row{
		refuse("socket", unix.SYS_SOCKET, whyFamily, notIn(0, inet, inet6, local, netlink)).with(unix.EACCES),
		refuse("socket", unix.SYS_SOCKET, whyFamily, in(0, netlink), notIn(2, unix.NETLINK_ROUTE)).with(unix.EACCES),
		refuse("socket", unix.SYS_SOCKET, "raw packets", in(0, inet, inet6), raw),
		refuse("socket", unix.SYS_SOCKET, "a protocol that no build needs, and a module of the kernel's for whoever asks", in(0, inet, inet6),
			notIn(2, 0, unix.IPPROTO_ICMP, unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMPV6, unix.IPPROTO_MPTCP)).with(unix.EACCES),
		refuse("socket", unix.SYS_SOCKET, "a protocol that no build needs, and a module of the kernel's for whoever asks", in(0, inet, inet6),
			masked(notIn(1, unix.SOCK_STREAM, unix.SOCK_DGRAM), sockType)).with(unix.EACCES),
		refuse("socketpair", unix.SYS_SOCKETPAIR, whyFamily, notIn(0, local)).with(unix.EACCES),
		dial("connect", unix.SYS_CONNECT),
		dial("sendto", unix.SYS_SENDTO, Test{Arg: 4, Op: Pointer}),
		dial("sendmsg", unix.SYS_SENDMSG),
		dial("sendmmsg", unix.SYS_SENDMMSG),
	}
}

func kernelRows() []Row {
	return []Row{
		refuse("io_uring_setup", unix.SYS_IO_URING_SETUP, whyRing).with(unix.ENOSYS),
		refuse("io_uring_enter", unix.SYS_IO_URING_ENTER, whyRing).with(unix.ENOSYS),
		refuse("io_uring_register", unix.SYS_IO_URING_REGISTER, whyRing).with(unix.ENOSYS),
		refuse("bpf", unix.SYS_BPF, whyAttack),
		refuse("userfaultfd", unix.SYS_USERFAULTFD, whyAttack),
		refuse("perf_event_open", unix.SYS_PERF_EVENT_OPEN, whyAttack),
		refuse("add_key", unix.SYS_ADD_KEY, whyKeys),
		refuse("request_key", unix.SYS_REQUEST_KEY, whyKeys),
		refuse("keyctl", unix.SYS_KEYCTL, whyKeys),
		refuse("init_module", unix.SYS_INIT_MODULE, whyKernel),
		refuse("finit_module", unix.SYS_FINIT_MODULE, whyKernel),
		refuse("delete_module", unix.SYS_DELETE_MODULE, whyKernel),
		refuse("kexec_load", unix.SYS_KEXEC_LOAD, whyKernel),
		refuse("kexec_file_load", unix.SYS_KEXEC_FILE_LOAD, whyKernel),
		refuse("reboot", unix.SYS_REBOOT, whyKernel),
		refuse("swapon", unix.SYS_SWAPON, whyKernel),
		refuse("swapoff", unix.SYS_SWAPOFF, whyKernel),
		refuse("acct", unix.SYS_ACCT, whyKernel),
		refuse("quotactl", unix.SYS_QUOTACTL, whyKernel),
		refuse("quotactl_fd", unix.SYS_QUOTACTL_FD, whyKernel),
		refuse("settimeofday", unix.SYS_SETTIMEOFDAY, whyKernel),
		refuse("clock_settime", unix.SYS_CLOCK_SETTIME, whyKernel),
		refuse("sethostname", unix.SYS_SETHOSTNAME, whyKernel),
		refuse("setdomainname", unix.SYS_SETDOMAINNAME, whyKernel),
		refuse("syslog", unix.SYS_SYSLOG, whyKernel),
		refuse("vhangup", unix.SYS_VHANGUP, whyKernel),
	}
}

// Meets evaluates the row's tests as the filter does.
func (r *Row) Meets(d *Data) bool {
	for _, t := range r.Tests {
		if !t.holds(d.Args[t.Arg]) {
			return false
		}
	}
	return uint32(d.NR) == r.NR
}

func (t Test) holds(arg uint64) bool {
	low := uint32(arg)
	switch t.Op {
	case AnyBit:
		return low&t.Mask != 0
	case NoBit:
		return low&t.Mask == 0
	case Pointer:
		return arg != 0
	}
	if t.Mask != 0 {
		low &= t.Mask
	}
	return slices.Contains(t.Values, low) == (t.Op == In)
}
