package layer

import (
	"context"
	"errors"
	"sort"
	"sync"

	"golang.org/x/sys/unix"
)

// opaque is the mark of a directory that hides the lower one (userxattr).
const opaque = "user.overlay.opaque"

// CopyTree copies rel and what is below it from one root to the same place of
// another, less what skip names.
func CopyTree(src, dst *Root, rel string, skip func(rel string) bool) error {
	var mu sync.Mutex
	var list []Item
	if st, err := src.Lstat(rel); rel != "" && err == nil {
		list = append(list, Item{Rel: rel, St: st})
	}
	err := src.Walk(context.Background(), rel, func(it Item) bool {
		mu.Lock()
		defer mu.Unlock()
		if skip(it.Rel) {
			return false
		}
		list = append(list, it)
		return true
	}, nil)
	sort.Slice(list, func(i, j int) bool { return list[i].Rel < list[j].Rel })
	dirs := 0
	for ; dirs < len(list) && err == nil; dirs++ {
		if list[dirs].Format() == unix.S_IFDIR {
			err = copyNode(src, dst, &list[dirs])
		}
	}
	if err != nil {
		return err
	}
	return Parallel(context.Background(), len(list), func(i int) error {
		if list[i].Format() == unix.S_IFDIR {
			return nil
		}
		err := copyNode(src, dst, &list[i])
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ELOOP) {
			return nil // changed since
		}
		return err
	})
}

func copyNode(src, dst *Root, it *Item) error {
	switch it.Format() {
	case unix.S_IFDIR:
		if err := dst.Mkdir(it.Rel, it.St.Mode&0o777|0o700); err != nil {
			return err
		}
		if src.IsOpaque(it.Rel) {
			return dst.setOpaque(it.Rel)
		}
	case unix.S_IFLNK:
		to, err := src.Readlink(it.Rel)
		if err != nil {
			return nil
		}
		return dst.Symlink(to, it.Rel)
	case unix.S_IFREG:
		_, err := CopyFile(src, it.Rel, dst, it.Rel, false)
		return err
	case unix.S_IFCHR:
		return dst.in("mknod", it.Rel, func(at int, name string) error { return unix.Mknodat(at, name, unix.S_IFCHR, 0) })
	}
	return nil
}

// IsOpaque tells whether a directory of an upper layer hides the lower one.
func (r *Root) IsOpaque(rel string) bool {
	yes := false
	r.in("getxattr", rel, func(at int, name string) error {
		fd, err := openat2(at, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		var b [1]byte
		n, err := unix.Fgetxattr(fd, opaque, b[:])
		yes = err == nil && n == 1 && b[0] == 'y'
		return err
	})
	return yes
}

func (r *Root) setOpaque(rel string) error {
	return r.in("setxattr", rel, func(at int, name string) error {
		fd, err := openat2(at, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Fsetxattr(fd, opaque, []byte("y"), 0)
	})
}
