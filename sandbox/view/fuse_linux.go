package view

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

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

// project lays what the session knows last. The view may still be in the making:
// what is laid is made beside it, and attached when it stands.
func (d *nsd) project(file *os.File) error {
	var p Project
	if err := readJSON(file, &p); err != nil {
		return err
	}
	for _, m := range p.Mounts {
		tree, dir, err := d.src.mount(m)
		if err == nil {
			err = d.inView(func() error { return d.b.attach(tree, m.Target, dir) })
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err) // the session finds in it what mends it
			return err
		}
	}
	return d.lay(p.Tripwires, true)
}

// inView runs f on the view's thread, where there is a view.
func (d *nsd) inView(f func() error) error {
	return d.view.Do(func() error {
		if d.b == nil {
			return errors.New("there is no view")
		}
		return f()
	})
}

// lay covers paths: with their nodes, or, if there is no FUSE, with masks. The trees are made here, and attached on the view's thread in one
// go. Before anything of the agent runs (first), a link that an earlier session
// left in the private home in the way is removed.
func (d *nsd) lay(trips []Trip, first bool) error {
	trips = d.uncovered(trips)
	trees, err := d.trees(trips)
	if err != nil {
		return err
	}
	return d.inView(func() error {
		for i, t := range trips {
			if first {
				if err := d.b.clear(t.Path); err != nil {
					return err
				}
			}
			if err := d.b.cover(t, trees[i]); err != nil {
				return fmt.Errorf("cover %s: %w", t.Path, err)
			}
		}
		return nil
	})
}

// trees makes what is laid over each path, several at a time: a node is looked up
// at the server, another process.
func (d *nsd) trees(trips []Trip) ([][]int, error) {
	trees, errs := make([][]int, len(trips)), make([]error, len(trips))
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(len(trips), atOnce) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(trips); i = int(next.Add(1)) - 1 {
				if d.src.fuse == "" {
					trees[i], errs[i] = maskTrees(stageDir)
				} else {
					trees[i] = make([]int, 1)
					trees[i][0], errs[i] = d.src.node(trips[i].ID)
				}
				if errs[i] != nil {
					errs[i] = fmt.Errorf("cover %s: %w", trips[i].Path, errs[i])
				}
			}
		})
	}
	all.Wait()
	return trees, errors.Join(errs...)
}

// atOnce is how many nodes are looked up at a time.
const atOnce = 4

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

// cover lays the node, or the mask of the right kind (a file's, a directory's),
// unless it still lies there: a change of the file outside, by rename, takes
// mounts off it. What is missing is made, as t.Dir says, but for t.Only.
func (b *builder) cover(t Trip, trees []int) error {
	defer closeAll(trees)
	tree, dir := trees[0], t.Dir
	var want, have unix.Stat_t
	fd, err := open(b.root, strings.TrimPrefix(canon(b.root, t.Path), "/"), true)
	if err == nil {
		err = unix.Fstat(fd, &have)
		unix.Close(fd)
		if len(trees) > 1 {
			dir = have.Mode&unix.S_IFMT == unix.S_IFDIR
		}
	}
	if t.Only && (err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP) {
		return nil // gone again, or the session has something else there
	}
	if err != nil && err != unix.ENOENT {
		return err
	}
	if len(trees) > 1 && dir {
		tree = trees[1]
	}
	if err := unix.Fstat(tree, &want); err != nil || want.Dev == have.Dev && want.Ino == have.Ino {
		return err
	}
	if tree, err = unix.FcntlInt(uintptr(tree), unix.F_DUPFD_CLOEXEC, 0); err != nil {
		return err
	}
	return b.attach(tree, t.Path, dir)
}

// maskTrees makes something empty that nobody may open: a file and a directory.
func maskTrees(stage string) ([]int, error) {
	file, err := treeOf(unix.AT_FDCWD, stage+"/nofile", sealed|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, err
	}
	dir, err := treeOf(unix.AT_FDCWD, stage+"/nodir", sealed|unix.MOUNT_ATTR_NOEXEC)
	return []int{file, dir}, err
}

// clear removes the first link on the way to a path of the private home.
func (b *builder) clear(path string) error {
	below, ok := strings.CutPrefix(path, b.plan.Home+"/")
	if b.plan.Home == "" || !ok {
		return nil
	}
	at, err := b.find(b.plan.Home)
	if err != nil {
		return err
	}
	defer func() { unix.Close(at) }()
	for name := range strings.SplitSeq(below, "/") {
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
