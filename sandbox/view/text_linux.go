package view

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// laidText is content that lies over a file of the view, in the place of what the
// agent could write there.
type laidText struct {
	mount int    // as a place
	dir   string // where the content lies, backstage
}

// textOne lays content over a file, in the place of what it laid there before: who
// opens the path reads all of the one or all of the other. With traps, which are the
// upper and the work directory of an overlay, reading is free and a try to write
// reaches their server; without, it is read-only.
func (d *nsd) textOne(path string, content *os.File, traps []Trip) error {
	d.pin++
	t := laidText{dir: fmt.Sprintf("%s/t%d", stageDir, d.pin)}
	name := t.dir + "/" + filepath.Base(path)
	if err := os.Mkdir(t.dir, 0o700); err != nil {
		return err
	}
	if _, err := copyTo(name, content, 0o644); err != nil {
		return err
	}
	var err error
	if len(traps) == 2 && d.src.fuse != "" {
		t.mount, err = d.trapped(name, traps)
	} else {
		t.mount, err = treeOf(unix.AT_FDCWD, name, sealed)
	}
	if err == nil {
		old, ok := d.texts[path]
		if err = d.view.Do(func() error { return d.replace(t.mount, path, old.mount, ok) }); err == nil {
			d.texts[path] = t
			if !ok {
				return nil
			}
			t = old // done with
		}
		unix.Close(t.mount)
	}
	if err = errors.Join(err, os.RemoveAll(t.dir)); err != nil {
		return fmt.Errorf("lay a text over %s: %w", path, err)
	}
	return nil
}

// trapped clones a file as it is seen through an overlay whose upper and work
// directories are traps.
func (d *nsd) trapped(name string, traps []Trip) (int, error) {
	var fds []int
	defer func() { closeAll(fds) }()
	for _, p := range []string{filepath.Dir(name), d.src.trap(traps[0].ID), d.src.trap(traps[1].ID)} {
		fd, err := openDir(p)
		if err != nil {
			return -1, err
		}
		fds = append(fds, fd)
	}
	tree, err := overlay(d.src.proc, fds[:1], fds[1], fds[2])
	if err != nil {
		return -1, err
	}
	at := filepath.Dir(name) + "/at"
	if err := errors.Join(os.Mkdir(at, 0o700), attachAt(tree, at)); err != nil {
		return -1, err
	}
	file, err := treeOf(unix.AT_FDCWD, at+"/"+filepath.Base(name), quiet|unix.MOUNT_ATTR_NOEXEC)
	return file, errors.Join(err, unix.Unmount(at, unix.MNT_DETACH))
}

// replace puts a mount over a path, on the view's thread. The one that it takes the
// place of is left below where the kernel cannot put the new one beneath it (before
// Linux 6.5): nobody sees it there.
func (d *nsd) replace(tree int, path string, old int, renew bool) error {
	at, err := d.b.find(path)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	const how, beneath = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH, 0x200 // MOVE_MOUNT_BENEATH of linux/mount.h
	if renew && unix.MoveMount(tree, "", at, "", how|beneath) == nil {
		return d.unmount(old)
	}
	return unix.MoveMount(tree, "", at, "", how)
}
