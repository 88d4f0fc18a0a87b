package view

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// fuse mounts the tripwires' file system at /fuse and hands its descriptor to
// the session, which has it served. It is mounted in the host's pid namespace,
// so that the server learns host pids. Without /dev/fuse it says why.
func (d *nsd) fuse() (bool, error) {
	if !d.plan.Fuse {
		return false, nil
	}
	fd, err := unix.Open("/host/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(fd) // as long as we hold it, a dead server leaves callers hanging
		err = mountFuse(fd)
	} else {
		err = &os.PathError{Op: "open", Path: "/dev/fuse", Err: err}
	}
	if err != nil {
		if d.plan.RequireFuse {
			return false, err
		}
		return false, d.ctl.Send(Message{Op: OpFuse, Fault: err.Error()})
	}
	return true, d.ctl.Send(Message{Op: OpFuse}, fd)
}

func mountFuse(fd int) error {
	tree, err := fuseTree(fd)
	if err != nil {
		return err
	}
	return attachAt(tree, "/fuse")
}

// fuseTree makes the detached mount of the tripwires' file system.
func fuseTree(fd int) (int, error) {
	// Not noexec: an attempt to execute a node is to reach the server.
	return freshFS("fuse", quiet,
		option{"source", "tripwire"}, option{"subtype", "tripwire"}, option{"fd", strconv.Itoa(fd)},
		option{"rootmode", "40000"}, option{"user_id", strconv.Itoa(os.Getuid())},
		option{"group_id", strconv.Itoa(os.Getgid())}, option{"allow_other", ""})
}

// lay puts nodes over their paths; where there is no FUSE, masks.
func (d *nsd) lay(trips []Trip) error {
	for _, t := range trips {
		if err := d.layOne(t); err != nil {
			return fmt.Errorf("lay a tripwire over %s: %w", t.Path, err)
		}
	}
	return nil
}

// layFirst lays the plan's tripwires, before anything of the agent runs, all in
// one go on each thread. A link that an earlier session left in the private home
// in the way of one is removed.
func (d *nsd) layFirst() error {
	trips := d.uncovered(d.plan.Tripwires)
	if d.src.fuse == "" {
		return d.lay(trips)
	}
	trees := make([]int, len(trips))
	for i, t := range trips {
		var err error
		if trees[i], err = d.src.node(t.ID); err != nil {
			return fmt.Errorf("tripwire over %s: %w", t.Path, err)
		}
	}
	return d.view.do(func() error {
		for i, t := range trips {
			if err := d.b.clear(t.Path); err != nil {
				return err
			}
			if err := d.b.attach(trees[i], t.Path, t.Dir); err != nil {
				return fmt.Errorf("lay a tripwire: %w", err)
			}
		}
		return nil
	})
}

// uncovered leaves out what lies below a directory that is a tripwire itself:
// nothing is left to cover there, and to look would trip it.
func (d *nsd) uncovered(trips []Trip) (out []Trip) {
	for _, t := range trips {
		if t.Dir {
			d.dirs[t.Path] = true
		}
	}
	for _, t := range trips {
		if !d.below(t.Path) {
			out = append(out, t)
		}
	}
	return out
}

func (d *nsd) below(path string) bool {
	for dir := filepath.Dir(path); len(dir) > 1; dir = filepath.Dir(dir) {
		if d.dirs[dir] {
			return true
		}
	}
	return false
}

// clear removes a link in the private home that is in a tripwire's way.
func (b *builder) clear(path string) error {
	if b.plan.Home == "" || !strings.HasPrefix(path, b.plan.Home+"/") {
		return nil
	}
	return b.unlink(b.plan.Home, path)
}

// unlink removes the first link on the way from dir to path.
func (b *builder) unlink(dir, path string) error {
	at, err := b.find(dir)
	if err != nil {
		return err
	}
	defer func() { unix.Close(at) }()
	for name := range strings.SplitSeq(path[len(dir)+1:], "/") {
		next, err := lookup(at, name)
		if err == unix.ELOOP {
			return os.NewSyscallError("remove a link in a tripwire's way", unix.Unlinkat(at, name, 0))
		}
		if err != nil {
			return nil //nolint:nilerr // nothing there, or what laying will report
		}
		unix.Close(at)
		at = next
	}
	return nil
}

// layOne covers one path.
func (d *nsd) layOne(t Trip) error {
	if d.below(t.Path) {
		return nil
	}
	if err := d.coverWith(t); err != nil {
		return err
	}
	if t.Dir {
		d.dirs[t.Path] = true
	}
	return nil
}

func (d *nsd) coverWith(t Trip) error {
	if d.src.fuse == "" {
		return d.hide(t.Path, t.Dir)
	}
	tree, err := d.src.node(t.ID)
	if err != nil {
		return err
	}
	same, err := d.covered(tree, t.Path)
	if same || err != nil {
		unix.Close(tree)
		return err
	}
	return d.put(tree, t.Path, t.Dir)
}

// covered reports whether the node still lies at path. A change of the file
// outside, by rename, takes mounts off it.
func (d *nsd) covered(tree int, path string) (bool, error) {
	var want, have unix.Stat_t
	if err := unix.Fstat(tree, &want); err != nil {
		return false, err
	}
	err := d.view.do(func() error {
		fd, err := open(d.b.root, strings.TrimPrefix(d.b.canon(path), "/"), true)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Fstat(fd, &have)
	})
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return false, err
	}
	return err == nil && want.Dev == have.Dev && want.Ino == have.Ino, nil
}

// hide masks a path of the standing view.
func (d *nsd) hide(path string, dir bool) error {
	err := d.view.do(func() error {
		fd, err := open(d.b.root, strings.TrimPrefix(d.b.canon(path), "/"), true)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		dir, err = isDir(fd)
		return err
	})
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	tree, err := maskTree(stageDir, dir)
	if err != nil {
		return err
	}
	return d.put(tree, path, dir)
}

// put attaches a tree in the standing view.
func (d *nsd) put(tree int, path string, dir bool) error {
	at := -1
	find := func() (err error) {
		at, err = place(d.b.root, d.b.canon(path), dir)
		return err
	}
	err := d.view.do(find)
	if errors.Is(err, unix.EROFS) { // the view's own root: it can be written to from backstage only
		var fd int
		if fd, err = place(d.stage, canon(d.stage, path), dir); err == nil {
			unix.Close(fd)
			err = d.view.do(find)
		}
	}
	if err != nil {
		unix.Close(tree)
		return err
	}
	defer unix.Close(at)
	return d.view.do(func() error { return attach(tree, at) })
}
