//go:build amd64 || arm64

package selftest

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func kernelAttempts() map[string]attempt {
	return map[string]attempt{
		"mount":   done(func(a []string) error { return unix.Mount("none", a[0], "tmpfs", 0, "") }),
		"umount":  done(func(a []string) error { return unix.Unmount(a[0], unix.MNT_DETACH) }),
		"mknod":   done(func(a []string) error { return unix.Mknod(a[0], unix.S_IFBLK|0o600, 8<<8) }),
		"syscall": done(rawCall),
		"int80":   done(func([]string) error { _, err := foreign(); return err }),
		"x32":     done(func([]string) error { return callX32() }),
	}
}

// rawCall makes a call with arguments that the kernel cannot take: where no filter
// stands before it, nothing happens.
func rawCall(a []string) error {
	nr, ok := map[string]uintptr{
		"move_mount": unix.SYS_MOVE_MOUNT, "open_tree": unix.SYS_OPEN_TREE, "fsopen": unix.SYS_FSOPEN, "fsconfig": unix.SYS_FSCONFIG,
		"fsmount": unix.SYS_FSMOUNT, "fspick": unix.SYS_FSPICK, "mount_setattr": unix.SYS_MOUNT_SETATTR, "pivot_root": unix.SYS_PIVOT_ROOT,
		"chroot": unix.SYS_CHROOT, "open_by_handle_at": unix.SYS_OPEN_BY_HANDLE_AT,
		"io_uring_setup": unix.SYS_IO_URING_SETUP, "io_uring_enter": unix.SYS_IO_URING_ENTER, "io_uring_register": unix.SYS_IO_URING_REGISTER,
		"bpf": unix.SYS_BPF, "userfaultfd": unix.SYS_USERFAULTFD, "perf_event_open": unix.SYS_PERF_EVENT_OPEN,
		"add_key": unix.SYS_ADD_KEY, "request_key": unix.SYS_REQUEST_KEY, "keyctl": unix.SYS_KEYCTL,
		"init_module": unix.SYS_INIT_MODULE, "finit_module": unix.SYS_FINIT_MODULE, "delete_module": unix.SYS_DELETE_MODULE,
		"kexec_load": unix.SYS_KEXEC_LOAD, "reboot": unix.SYS_REBOOT, "swapon": unix.SYS_SWAPON, "swapoff": unix.SYS_SWAPOFF,
		"acct": unix.SYS_ACCT, "quotactl": unix.SYS_QUOTACTL, "settimeofday": unix.SYS_SETTIMEOFDAY, "clock_settime": unix.SYS_CLOCK_SETTIME,
		"sethostname": unix.SYS_SETHOSTNAME, "setdomainname": unix.SYS_SETDOMAINNAME, "syslog": unix.SYS_SYSLOG, "vhangup": unix.SYS_VHANGUP,
	}[a[0]]
	if !ok {
		return fmt.Errorf("%w: no call %s", errUnmade, a[0])
	}
	const nowhere = ^uintptr(0)
	return call(nr, nowhere, nowhere, nowhere, nowhere, nowhere, nowhere)
}
