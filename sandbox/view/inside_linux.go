package view

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// What of /proc and /sys tells about the whole machine is not shown at all.
var (
	procHidden = []string{
		"kcore", "keys", "key-users", "kmsg", "kallsyms", "kpagecount", "kpageflags", "kpagecgroup", "timer_list",
		"sched_debug", "latency_stats", "acpi", "scsi", "asound", "config.gz", "vmallocinfo", "slabinfo", "iomem", "ioports",
	}
	sysHidden = []string{"firmware", "kernel/debug", "kernel/tracing", "kernel/security", "fs/bpf", "fs/pstore", "devices/virtual/powercap"}
)

// mountProc mounts the /proc of this pid namespace, read-only: the root of the
// machine, as whom the agent may run, needs no capability to write to /proc/sys,
// and any process may write into the memory of another of its own
// (/proc/PID/mem asks neither seccomp nor Yama) and so borrow what that one was
// approved for. hidepid keeps the agent from seeing pid 1, and the arguments of
// commands apart; invisible would not, where it is in root's group (proc(5), gid).
func mountProc() error {
	attrs := sealed | unix.MOUNT_ATTR_NOEXEC
	tree, err := freshFS("proc", attrs, option{"hidepid", "ptraceable"})
	if errors.Is(err, unix.EINVAL) { // before Linux 5.8
		tree, err = freshFS("proc", attrs)
	}
	if err != nil {
		return fmt.Errorf("%w: something outside hides part of /proc", err)
	}
	if err := attachAt(tree, "/proc"); err != nil {
		return err
	}
	return hideParts("/proc", procHidden)
}

// mountSys mounts a /sys that knows of this network namespace only, or, where
// the kernel refuses that, the host's; the control groups come read-only.
func mountSys() error {
	attrs := uint64(sealed | unix.MOUNT_ATTR_NOEXEC)
	tree, err := freshFS("sysfs", int(attrs))
	fresh := err == nil
	if !fresh {
		tree, err = treeOf(unix.AT_FDCWD, "/.old/host/sys", attrs)
	}
	if err != nil {
		return err
	}
	if err := attachAt(tree, "/sys"); err != nil {
		return err
	}
	if fresh {
		if groups, err := treeOf(unix.AT_FDCWD, "/.old/host/sys/fs/cgroup", attrs); err == nil {
			if err := attachAt(groups, "/sys/fs/cgroup"); err != nil {
				return err
			}
		}
	}
	return hideParts("/sys", sysHidden)
}

func attachAt(tree int, path string) error {
	at, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(tree)
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(at)
	return attach(tree, at)
}

// hideParts covers what exists of the named parts.
func hideParts(dir string, names []string) error {
	for _, name := range names {
		if err := cover(dir + "/" + name); err != nil {
			return err
		}
	}
	return nil
}

func cover(path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil //nolint:nilerr // absent here
	}
	trees, err := maskTrees("/.old" + stageDir)
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		trees[0], trees[1] = trees[1], trees[0]
	}
	unix.Close(trees[1])
	return attachAt(trees[0], path)
}
