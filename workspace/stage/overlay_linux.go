package stage

import (
	"context"
	"errors"
	"sort"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/workspace/tree"
)

func (s *Staging) prepareOverlay(sc *scan) error { return nil }

func (s *Staging) overlayChanges(ctx context.Context) ([]tree.Change, error) { return nil, nil }

// opaque is the mark of a directory that hides the lower one (userxattr).
const opaque = "user.overlay.opaque"

// copyLayer copies an upper directory: files, links, whiteouts and opaque marks
// (kernel documentation, filesystems/overlayfs).
func copyLayer(src, dst *root) error {
	var mu sync.Mutex
	var list []item
	err := src.walk(context.Background(), "", func(it item) bool {
		mu.Lock()
		defer mu.Unlock()
		list = append(list, it)
		return true
	}, nil)
	sort.Slice(list, func(i, j int) bool { return list[i].rel < list[j].rel })
	for i := range list {
		err = errors.Join(err, copyNode(src, dst, &list[i]))
	}
	return err
}

func copyNode(src, dst *root, it *item) error {
	switch it.format() {
	case unix.S_IFDIR:
		if err := dst.mkdir(it.rel, it.st.Mode&0o777|0o700); err != nil {
			return err
		}
		if src.isOpaque(it.rel) {
			return dst.setOpaque(it.rel)
		}
	case unix.S_IFLNK:
		to, err := src.readlink(it.rel)
		if err != nil {
			return nil
		}
		return dst.symlink(to, it.rel)
	case unix.S_IFREG:
		_, err := copyFile(src, it.rel, dst, it.rel, false)
		return err
	case unix.S_IFCHR:
		return dst.in("mknod", it.rel, func(at int, name string) error { return unix.Mknodat(at, name, unix.S_IFCHR, 0) })
	}
	return nil
}

func (r *root) isOpaque(rel string) bool {
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

func (r *root) setOpaque(rel string) error {
	return r.in("setxattr", rel, func(at int, name string) error {
		fd, err := openat2(at, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Fsetxattr(fd, opaque, []byte("y"), 0)
	})
}
