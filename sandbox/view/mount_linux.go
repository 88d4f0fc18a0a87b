package view

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Attributes of mounts.
const (
	quiet  = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	sealed = quiet | unix.MOUNT_ATTR_RDONLY
)

// treeOf clones the mount at dir/path as a detached tree, submounts included,
// and sets attributes on all of it. The descriptor is the caller's.
func treeOf(dir int, path string, attrs uint64) (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_RECURSIVE | unix.AT_SYMLINK_NOFOLLOW)
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	fd, err := unix.OpenTree(dir, path, flags)
	if err != nil {
		return -1, &os.PathError{Op: "open_tree", Path: path, Err: err}
	}
	if attrs == 0 {
		return fd, nil
	}
	if err := setAttrs(fd, attrs); err != nil {
		unix.Close(fd)
		return -1, &os.PathError{Op: "mount_setattr", Path: path, Err: err}
	}
	return fd, nil
}

func setAttrs(fd int, attrs uint64) error {
	return unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: attrs})
}

// attach puts a detached tree at an opened place and closes the tree.
func attach(tree, at int) error {
	defer unix.Close(tree)
	if err := unix.MoveMount(tree, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount: %w", err)
	}
	return nil
}

// option is one parameter of a file system; an empty value makes it a flag.
type option struct{ key, value string }

// freshFS makes a detached mount of a new file system.
func freshFS(kind string, attrs int, options ...option) (int, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen %s: %w", kind, err)
	}
	defer unix.Close(fs)
	for _, o := range options {
		if o.value == "" {
			err = unix.FsconfigSetFlag(fs, o.key)
		} else {
			err = unix.FsconfigSetString(fs, o.key, o.value)
		}
		if err != nil {
			return -1, fsError(fs, kind+" "+o.key, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fsError(fs, kind, err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attrs)
	if err != nil {
		return -1, fsError(fs, kind, err)
	}
	return fd, nil
}

// fsError adds what the kernel says on the context's descriptor.
func fsError(fs int, what string, err error) error {
	buf := make([]byte, 512)
	if n, e := unix.Read(fs, buf); e == nil && n > 0 {
		return fmt.Errorf("mount %s: %w (%s)", what, err, strings.TrimSpace(string(buf[:n])))
	}
	return fmt.Errorf("mount %s: %w", what, err)
}

// overlay makes a detached overlay mount of opened layers. They are named to the
// kernel by descriptor (a parameter holds 255 bytes, and a colon in a path would
// split it); proc is a /proc of the caller's own pid namespace.
func overlay(proc string, lower []int, upper, work int) (int, error) {
	name := func(fd int) string { return fmt.Sprintf("%s/self/fd/%d", proc, fd) }
	var lowers []string
	for _, fd := range lower {
		lowers = append(lowers, name(fd))
	}
	return freshFS("overlay", quiet, option{"source", "staging"}, option{"lowerdir", strings.Join(lowers, ":")},
		option{"upperdir", name(upper)}, option{"workdir", name(work)}, option{"userxattr", ""})
}

// openDir opens a directory as a place, following links.
func openDir(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// place opens path below root for mounting on it, never through a link. What is
// missing is made: directories, and at the end a directory or an empty file. A
// file's place may be a link itself: what is mounted there lies over the link.
func place(root int, path string, dir bool) (int, error) {
	below := strings.Trim(filepath.Clean(path), "/")
	if fd, err := open(root, below, !dir); err == nil { // most are there
		return fd, nil
	}
	parts := strings.Split(below, "/")
	at, err := unix.Dup(root)
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(at)
	for i, name := range parts {
		last := i == len(parts)-1
		next, err := step(at, name, dir || !last, last && !dir)
		unix.Close(at)
		if err != nil {
			return -1, &os.PathError{Op: "place", Path: path, Err: err}
		}
		at = next
	}
	return at, nil
}

// step opens one name in a directory and makes it if it is missing.
func step(at int, name string, dir, link bool) (int, error) {
	if name == "" || name == "." {
		return unix.Dup(at)
	}
	fd, err := open(at, name, link)
	if err != unix.ENOENT {
		return fd, err
	}
	if dir {
		err = unix.Mkdirat(at, name, 0o755)
	} else {
		err = unix.Mknodat(at, name, unix.S_IFREG|0o600, 0)
	}
	if err != nil && err != unix.EEXIST {
		return -1, err
	}
	return open(at, name, link)
}

// lookup opens path as a place; a link anywhere on it, the end included, is
// ELOOP.
func lookup(at int, path string) (int, error) { return open(at, path, false) }

// open opens path as a place; only its end may be a link, and only if link is
// set: then the link itself.
func open(at int, path string, link bool) (int, error) {
	for {
		fd, err := unix.Openat2(at, path, &unix.OpenHow{
			Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
			Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_BENEATH,
		})
		if err == unix.EAGAIN || err == unix.EINTR { // EAGAIN: a rename meanwhile
			continue
		}
		if err != nil || link {
			return fd, err
		}
		var st unix.Stat_t
		if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
			err = unix.ELOOP // with O_PATH the end of the path may be a link
		}
		if err != nil {
			unix.Close(fd)
			return -1, err
		}
		return fd, nil
	}
}
