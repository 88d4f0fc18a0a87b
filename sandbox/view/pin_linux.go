package view

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// pinned is a sealed copy that lies over a file.
type pinned struct {
	mount int    // the mount, as a place
	name  string // the copy, backstage
}

// pinOne lays a sealed copy of content over a file, for as long as the command
// that was approved with it runs. The copy has the file's mode without w.
func (d *nsd) pinOne(path string, content *os.File, answer *Message) error {
	at := -1
	var target unix.Stat_t
	err := d.view.Do(func() (err error) {
		if at, err = d.b.find(path); err != nil {
			return err
		}
		return unix.Fstat(at, &target)
	})
	if at >= 0 {
		defer unix.Close(at)
	}
	if err != nil {
		return err
	}
	if target.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("pin %s: not a regular file", path)
	}
	d.pin++
	p := pinned{name: fmt.Sprintf("%s/p%d", stageDir, d.pin)}
	st, err := copyTo(p.name, content, os.FileMode(target.Mode&0o555|0o400))
	if err != nil {
		return err
	}
	if p.mount, err = treeOf(unix.AT_FDCWD, p.name, sealed); err != nil {
		return err
	}
	err = d.view.Do(func() error {
		return unix.MoveMount(p.mount, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	})
	if err != nil {
		unix.Close(p.mount)
		return fmt.Errorf("pin %s: %w", path, err)
	}
	d.pins[d.pin] = p
	answer.Pin, answer.Dev, answer.Ino = d.pin, st.Dev, st.Ino
	return nil
}

// copyTo makes the file name out of content.
func copyTo(name string, content *os.File, mode os.FileMode) (st unix.Stat_t, err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return st, err
	}
	_, err = io.Copy(f, io.NewSectionReader(content, 0, 1<<40))
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = unix.Fstat(int(f.Fd()), &st)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return st, fmt.Errorf("make the sealed copy: %w", err)
	}
	return st, nil
}

// unpin takes a copy away. The mount is named by its descriptor: by path, the
// agent could have put another in its place.
func (d *nsd) unpin(id uint64) error {
	p, ok := d.pins[id]
	if !ok {
		return fmt.Errorf("no pin %d", id)
	}
	delete(d.pins, id)
	err := d.view.Do(func() error { return d.unmount(p.mount) })
	unix.Close(p.mount)
	if e := os.Remove(p.name); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("unpin: %w", err)
	}
	return nil
}

// unmount takes a mount of the view off, on the view's thread.
func (d *nsd) unmount(mount int) error {
	proc, err := d.src.open("/proc")
	if err != nil {
		return err
	}
	defer unix.Close(proc)
	if err := unix.Fchdir(proc); err != nil {
		return err
	}
	err = unix.Unmount(fmt.Sprintf("self/fd/%d", mount), unix.MNT_DETACH)
	if err == unix.EINVAL { // a rename outside has taken it off already
		err = nil
	}
	if e := unix.Chdir("/"); err == nil {
		err = e
	}
	return err
}
