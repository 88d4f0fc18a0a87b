package view

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign"
)

// source makes detached trees out of the host's file system. It belongs to one
// thread, because a tree can only be cloned in the mount namespace it lies in.
type source struct {
	host int    // the host's root, as a place
	proc string // the host's /proc
	fuse string // the directory of nodes; empty: there is none
}

// newSource finds the host below dir.
func newSource(dir string, fuse bool) (source, error) {
	fd, err := unix.Open(dir+"/host", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return source{}, &os.PathError{Op: "open", Path: dir + "/host", Err: err}
	}
	s := source{host: fd, proc: dir + "/host/proc"}
	if fuse {
		s.fuse = dir + "/fuse"
	}
	return s, nil
}

// open opens a host path as a place; links count as on the host.
func (s source) open(path string) (int, error) {
	fd, err := unix.Openat2(s.host, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// bind clones what lies at a host path, and says whether it is a directory.
func (s source) bind(path string, attrs uint64) (tree int, dir bool, err error) {
	fd, err := s.open(path)
	if err != nil {
		return -1, false, err
	}
	defer unix.Close(fd)
	if dir, err = isDir(fd); err != nil {
		return -1, false, err
	}
	tree, err = treeOf(fd, "", attrs)
	return tree, dir, err
}

// node clones one tripwire.
func (s source) node(id uint64) (int, error) {
	return treeOf(unix.AT_FDCWD, s.trap(id), 0)
}

// trap is where node id is found.
func (s source) trap(id uint64) string { return fmt.Sprintf("%s/%d", s.fuse, id) }

// mount makes the tree of a project's mount.
func (s source) mount(m countersign.Mount) (tree int, dir bool, err error) {
	switch m.Type {
	case "bind":
		attrs := uint64(quiet)
		if m.RO {
			attrs = sealed
		}
		return s.bind(m.Source, attrs)
	case "overlay":
		lower := m.Lower
		if len(lower) == 0 {
			lower = []string{m.Source}
		}
		tree, err = s.overlay(lower, m.Upper, m.Work)
		if err == nil && m.RO {
			err = setAttrs(tree, sealed)
		}
		return tree, true, err
	}
	return -1, false, fmt.Errorf("mount %s: unknown type %q", m.Target, m.Type)
}

func (s source) overlay(lower []string, upper, work string) (int, error) {
	var fds []int
	defer func() { closeAll(fds) }()
	for _, p := range append(append([]string{}, lower...), upper, work) {
		fd, err := s.open(p)
		if err != nil {
			return -1, err
		}
		fds = append(fds, fd)
	}
	n := len(lower)
	fd, err := overlay(s.proc, fds[:n], fds[n], fds[n+1])
	if err != nil {
		return -1, fmt.Errorf("overlay of %s: %w", strings.Join(lower, ", "), err)
	}
	return fd, nil
}

// cache makes the tree of a host cache with its private layer; without the host
// directory it is the private layer alone.
func (s source) cache(c Cache) (int, error) {
	lower, err := s.open(c.Lower)
	if err != nil {
		tree, _, err := s.bind(c.Upper, quiet)
		return tree, err
	}
	unix.Close(lower)
	return s.overlay([]string{c.Lower}, c.Upper, c.Work)
}

func isDir(fd int) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, err
	}
	return st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
