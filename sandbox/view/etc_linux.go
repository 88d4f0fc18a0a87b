package view

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// secrets closes what the host keeps secret in /etc from a session of root.
func (b *builder) secrets() error {
	if os.Getuid() != 0 {
		return nil
	}
	return b.secretsOf("/etc")
}

// secretsOf masks everything below dir that others than its owner and group may
// not read: what an ordinary user could not see, root's agent does not see.
func (b *builder) secretsOf(dir string) error {
	at, err := b.open(dir)
	if err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return err
	}
	defer unix.Close(at)
	all, err := b.list(at)
	if err != nil {
		return err
	}
	for _, e := range all {
		var st unix.Stat_t
		name := e.Name()
		if e.Type()&os.ModeSymlink != 0 { // by far the most
			continue
		}
		if err := unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			continue // gone meanwhile
		}
		path := filepath.Join(dir, name)
		switch {
		case st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Mode&0o005 == 0o005:
			err = b.secretsOf(path)
		case st.Mode&unix.S_IFMT == unix.S_IFLNK, st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Mode&0o004 != 0:
			continue
		default:
			err = b.mask([]string{path})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

const resolvConf = "# the session's own resolver: it refuses, and records what was asked\nnameserver 127.0.0.1\noptions timeout:1 attempts:1\n"

// resolver puts a resolv.conf of ours where /etc/resolv.conf leads to. Where
// there is none, the C library asks 127.0.0.1 anyway.
func (b *builder) resolver() error {
	path := "/etc/resolv.conf"
	buf := make([]byte, unix.PathMax)
	for range 8 {
		fd, err := lookup(b.root, strings.TrimPrefix(canon(b.root, path), "/"))
		switch {
		case err == nil:
			unix.Close(fd)
			return b.file(path, resolvConf)
		case errors.Is(err, unix.ENOENT) && !strings.HasPrefix(path, "/etc/"):
			return b.file(path, resolvConf)
		case errors.Is(err, unix.ENOENT):
			return nil
		case !errors.Is(err, unix.ELOOP):
			return err
		}
		n, err := unix.Readlinkat(b.root, strings.TrimPrefix(path, "/"), buf)
		if err != nil {
			return nil //nolint:nilerr // a link further up: not a layout that any system has
		}
		link := string(buf[:n])
		if !filepath.IsAbs(link) {
			link = filepath.Join(filepath.Dir(path), link)
		}
		path = link
	}
	return nil
}
