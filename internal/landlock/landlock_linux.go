package landlock

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Min is the least Landlock ABI that is of use here.
//
// A Landlock domain goes over each command that the session starts, so that
// commands started apart, the agent and the person's shell, cannot trace, read,
// see or (from Signals on) signal each other. A kernel whose Landlock
// cannot say REFER (before 5.19) would refuse every rename between directories,
// and gets no domain.
//
// From Signals on a thread of a domain that signals all it may reaches its domain
// alone.
const (
	Min     = 2
	Signals = 6 // Linux 6.12
)

// Confine puts a new domain on this thread. It rules no file: the mounts say
// what may be written to, and a domain that says it again costs every open a walk
// to the root.
func Confine() error {
	abi := ABI()
	if abi < Min {
		return nil
	}
	attr := unix.LandlockRulesetAttr{Scoped: unix.LANDLOCK_SCOPE_SIGNAL}
	if abi < Signals { // one that rules nothing is no domain there
		attr = unix.LandlockRulesetAttr{Handled_access_fs: unix.LANDLOCK_ACCESS_FS_REFER}
	}
	r, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if e != 0 {
		return fmt.Errorf("landlock_create_ruleset: %w", e)
	}
	set := int(r)
	defer unix.Close(set)
	if attr.Handled_access_fs != 0 {
		root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(root)
		rule := unix.LandlockPathBeneathAttr{Allowed_access: attr.Handled_access_fs, Parent_fd: int32(root)}
		if _, _, e := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(set), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0); e != 0 {
			return fmt.Errorf("landlock_add_rule: %w", e)
		}
	}
	if _, _, e := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(set), 0, 0); e != 0 {
		return fmt.Errorf("landlock_restrict_self: %w", e)
	}
	return nil
}

// ABI asks the kernel which Landlock it has; 0: none.
func ABI() int {
	v, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		return 0
	}
	return int(v)
}
