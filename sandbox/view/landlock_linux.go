package view

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// LandlockMin is the least Landlock ABI that is of use here.
//
// A Landlock domain goes over each command that the session starts. What it
// adds to the view: commands started apart, the agent and the person's shell,
// cannot trace, read or see each other; and where the view is written to is said
// once more.
//
// Only writing is handled: opens for reading cost nothing. A kernel whose
// Landlock cannot say REFER (before 5.19) would refuse every rename between
// directories, and gets no domain.
const LandlockMin = 2

// openWritable opens, before anything of the agent runs, what may be written to.
func (i *initd) openWritable() error {
	if LandlockABI() < LandlockMin {
		return nil
	}
	paths := []string{"/tmp", "/var/tmp", "/run", "/dev", i.plan.Home}
	for _, c := range i.plan.Caches {
		paths = append(paths, c.Target)
	}
	for _, m := range i.plan.Mounts {
		if !m.RO {
			paths = append(paths, m.Target)
		}
	}
	i.writable = []int{}
	for _, p := range paths {
		if p == "" {
			continue
		}
		fd, err := unix.Open(p, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err == unix.ENOENT {
			continue // a cache that was left out
		}
		if err != nil {
			return &os.PathError{Op: "open", Path: p, Err: err}
		}
		i.writable = append(i.writable, fd)
	}
	return nil
}

// confine puts a new domain on this thread. files are the command's own
// descriptors, which it may open again through /proc/self/fd.
func (i *initd) confine(files []*os.File) error {
	if i.writable == nil {
		return nil
	}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_REFER}
	r, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr.Handled_access_fs), 0)
	if e != 0 {
		return fmt.Errorf("landlock_create_ruleset: %w", e)
	}
	set := int(r)
	defer unix.Close(set)
	root, err := openDir("/")
	if err != nil {
		return err
	}
	defer unix.Close(root)
	if err := grant(set, root, unix.LANDLOCK_ACCESS_FS_REFER); err != nil {
		return err
	}
	for _, fd := range i.writable {
		access := uint64(unix.LANDLOCK_ACCESS_FS_WRITE_FILE)
		if dir, err := isDir(fd); err == nil && dir {
			access |= unix.LANDLOCK_ACCESS_FS_REFER
		}
		if err := grant(set, fd, access); err != nil {
			return err
		}
	}
	for _, f := range files {
		// Pipes and sockets are on no file system that Landlock rules, and are refused here.
		_ = grant(set, int(f.Fd()), unix.LANDLOCK_ACCESS_FS_WRITE_FILE)
	}
	if _, _, e := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(set), 0, 0); e != 0 {
		return fmt.Errorf("landlock_restrict_self: %w", e)
	}
	return nil
}

func grant(set, fd int, access uint64) error {
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	_, _, e := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(set), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if e != 0 {
		return fmt.Errorf("landlock_add_rule: %w", e)
	}
	return nil
}
