package view

import (
	"golang.org/x/sys/unix"
)

// dev makes a small /dev: the harmless devices, a terminal instance of the
// session's own, shared memory.
func (b *builder) dev() error {
	if err := b.tmpfs("/dev", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, "755"); err != nil {
		return err
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		// Read-only as a file: root's agent owns the host's node, and could chmod it.
		if err := b.bind("/dev/"+name, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC|unix.MOUNT_ATTR_RDONLY); err != nil {
			return err
		}
	}
	pts, err := freshFS("devpts", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, option{"ptmxmode", "0666"}, option{"mode", "0620"})
	if err != nil {
		return err
	}
	if err := b.attach(pts, "/dev/pts", true); err != nil {
		return err
	}
	if err := b.tmpfs("/dev/shm", quiet, "1777"); err != nil {
		return err
	}
	return b.devLinks()
}

func (b *builder) devLinks() error {
	at, err := place(b.root, "/dev", true)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	for name, to := range map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1",
		"stderr": "/proc/self/fd/2",
	} {
		if err := unix.Symlinkat(to, at, name); err != nil {
			return err
		}
	}
	return unix.MountSetattr(at, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}
