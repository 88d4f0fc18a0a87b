package view

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// LandlockMin is the least Landlock ABI that is of use here.
//
// A Landlock domain goes over each command that the session starts, so that
// commands started apart, the agent and the person's shell, cannot trace, read,
// see or (from landlockSignals on) signal each other. A kernel whose Landlock
// cannot say REFER (before 5.19) would refuse every rename between directories,
// and gets no domain.
const (
	LandlockMin     = 2
	landlockSignals = 6 // Linux 6.12
)

// confine puts a new domain on this thread. It rules no file: the mounts say
// what may be written to, and a domain that says it again costs every open a walk
// to the root.
func confine() error {
	abi := LandlockABI()
	if abi < LandlockMin {
		return nil
	}
	attr := unix.LandlockRulesetAttr{Scoped: unix.LANDLOCK_SCOPE_SIGNAL}
	if abi < landlockSignals { // one that rules nothing is no domain there
		attr = unix.LandlockRulesetAttr{Handled_access_fs: unix.LANDLOCK_ACCESS_FS_REFER}
	}
	r, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if e != 0 {
		return fmt.Errorf("landlock_create_ruleset: %w", e)
	}
	set := int(r)
	defer unix.Close(set)
	if attr.Handled_access_fs != 0 {
		root, err := openDir("/")
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
