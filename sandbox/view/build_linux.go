package view

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// builder puts the view together, on the thread that lives in it.
type builder struct {
	source
	plan    Plan
	root    int    // the view's root, as a place
	outside int    // the same through a mount that stays writable
	stage   string // where files of our own making lie, outside the view
	files   int
	notes   []string
}

// systemDirs are the host's own, shown read-only. /sys comes from init.
var systemDirs = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix"}

// build lays everything but the project and the tripwires.
func (b *builder) build() error {
	for _, step := range []func() error{b.links, b.system, b.secrets, b.dev, b.scratch, b.resolver, b.home, b.extra, b.caches} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// links copies the links of the host's root (/bin to usr/bin).
func (b *builder) links() error {
	all, err := b.list(b.host)
	if err != nil {
		return err
	}
	buf := make([]byte, unix.PathMax)
	for _, e := range all {
		name := e.Name()
		n, err := unix.Readlinkat(b.host, name, buf)
		if err != nil {
			continue // not a link
		}
		if err := unix.Symlinkat(string(buf[:n]), b.root, name); err != nil {
			return &os.LinkError{Op: "symlink", New: "/" + name, Err: err}
		}
	}
	return nil
}

func (b *builder) system() error {
	for _, dir := range systemDirs {
		if _, err := lookup(b.root, dir[1:]); err == unix.ELOOP {
			continue // of b.links
		}
		if err := b.bind(dir, sealed); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	if err := b.mkdirs("/proc", "/sys", "/run", "/var/lib", "/var/cache", "/var/log"); err != nil {
		return err
	}
	return unix.Symlinkat("../run", b.root, "var/run")
}

// scratch gives the agent its own /tmp and /var/tmp: from both it may execute.
func (b *builder) scratch() error {
	if b.plan.Tmp != "" {
		tree, _, err := b.source.bind(b.plan.Tmp, quiet)
		if err != nil {
			return err
		}
		if err := b.attach(tree, "/tmp", true); err != nil {
			return err
		}
	} else if err := b.tmpfs("/tmp", quiet, "1777"); err != nil {
		return err
	}
	if err := b.tmpfs("/var/tmp", quiet, "1777"); err != nil {
		return err
	}
	return b.tmpfs("/run", quiet|unix.MOUNT_ATTR_NOEXEC, "755")
}

func (b *builder) home() error {
	if b.plan.Home == "" {
		return nil
	}
	tree, _, err := b.source.bind(b.plan.HomeSource, quiet)
	if err != nil {
		return err
	}
	return b.attach(tree, b.plan.Home, true)
}

// extra binds toolchains. One that is gone is a note: PATH names many that are.
func (b *builder) extra() error {
	paths := slices.Clone(b.plan.ReadOnly)
	slices.Sort(paths) // a parent before what lies in it
	for _, p := range slices.Compact(paths) {
		if err := b.bind(p, sealed); err != nil {
			b.notes = append(b.notes, err.Error())
		}
	}
	return nil
}

func (b *builder) caches() error {
	for _, c := range b.plan.Caches {
		tree, err := b.cache(c)
		if err == nil {
			err = b.attach(tree, c.Target, true)
		}
		if err != nil {
			b.notes = append(b.notes, err.Error())
		}
	}
	return nil
}

// bind shows a host path at its own place.
func (b *builder) bind(path string, attrs uint64) error {
	tree, dir, err := b.source.bind(path, attrs)
	if err != nil {
		return err
	}
	return b.attach(tree, path, dir)
}

// attach puts a tree at a path of the view, making the place if it is missing.
func (b *builder) attach(tree int, path string, dir bool) error {
	path = canon(b.root, path)
	at, err := place(b.root, path, dir)
	if errors.Is(err, unix.EROFS) { // the view's own root: it can be written to from backstage only
		if at, err = place(b.outside, path, dir); err == nil {
			unix.Close(at)
			at, err = place(b.root, path, dir)
		}
	}
	if err != nil {
		unix.Close(tree)
		return err
	}
	defer unix.Close(at)
	if err := attach(tree, at); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (b *builder) tmpfs(path string, attrs int, mode string) error {
	tree, err := freshFS("tmpfs", attrs, option{"mode", mode}, option{"source", "private"})
	if err != nil {
		return err
	}
	return b.attach(tree, path, true)
}

func (b *builder) mkdirs(paths ...string) error {
	for _, p := range paths {
		fd, err := place(b.root, canon(b.root, p), true)
		if err != nil {
			return err
		}
		unix.Close(fd)
	}
	return nil
}

// file puts a read-only file of our own making over a path.
func (b *builder) file(path, content string) error {
	b.files++
	name := fmt.Sprintf("%s/f%d", b.stage, b.files)
	if err := os.WriteFile(name, []byte(content), 0o444); err != nil {
		return err
	}
	tree, err := treeOf(unix.AT_FDCWD, name, sealed|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return err
	}
	return b.attach(tree, path, false)
}

// mask covers paths with something empty that nobody may open.
func (b *builder) mask(paths []string) error {
	for _, path := range paths {
		trees, err := maskTrees(b.stage)
		if err == nil {
			err = b.cover(Trip{Path: path}, trees)
		}
		if err != nil {
			return fmt.Errorf("mask %s: %w", path, err)
		}
	}
	return nil
}

// canon replaces a link of the view's root at the head of a path: those are
// ours or the host's, never the agent's.
func canon(root int, path string) string {
	buf := make([]byte, unix.PathMax)
	for range 4 {
		head, rest, _ := strings.Cut(strings.TrimPrefix(filepath.Clean(path), "/"), "/")
		n, err := unix.Readlinkat(root, head, buf)
		if head == "" || err != nil {
			return path
		}
		path = filepath.Join("/", string(buf[:n]), rest)
	}
	return path
}

// list lists an opened place.
func (s source) list(at int) ([]os.DirEntry, error) {
	fd, err := unix.Openat(at, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: ".", Err: err}
	}
	f := os.NewFile(uintptr(fd), fmt.Sprintf("%s/self/fd/%d", s.proc, fd)) // by name, where the file system tells no types
	defer f.Close()
	return f.ReadDir(-1)
}
