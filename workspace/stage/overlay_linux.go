package stage

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sort"
	"sync"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
)

// prepareOverlay lays the session's upper directory over the real tree. Denied
// files stay where they are, below: the tripwires alone close them.
func (s *Staging) prepareOverlay(ctx context.Context, sc *scan) error {
	work := filepath.Join(s.layer, "work")
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	s.mounts = append(s.mounts, countersign.Mount{
		Type: "overlay", Target: s.opts.Project.Root, Lower: []string{s.opts.Project.Root}, Upper: s.tree.path, Work: work,
	})
	for rel, e := range s.idx.m {
		if e.kind == kDenied || e.kind == kVault {
			delete(s.idx.m, rel)
		}
	}
	for rel, rule := range sc.denied {
		if err := s.takeDenied(sc.items[rel], rule, sc.alias[rel]); err != nil {
			return err
		}
	}
	for d := range sc.bulk {
		list, _, err := s.listBulk(ctx, d, true)
		if err != nil {
			return err
		}
		s.tripBelow(sc, list)
	}
	return nil
}

// upperDir makes a directory in the upper layer that looks like the lower one.
func (s *Staging) upperDir(rel string) error {
	if _, err := s.tree.lstat(rel); rel == "" || err == nil {
		return nil
	}
	if err := s.upperDir(parent(rel)); err != nil {
		return err
	}
	st, err := s.real.lstat(rel)
	if err != nil {
		return err
	}
	if err := s.tree.mkdir(rel, st.Mode&0o777); err != nil {
		return err
	}
	return s.tree.chmod(rel, st.Mode&0o777)
}

// recordBase fixes the base of a path of an overlay when it is first seen
// changed: what the real tree has there now.
func (s *Staging) recordBase(rel string) *entry {
	if e := s.entry(rel); e != nil {
		return e
	}
	st, err := s.real.lstat(rel)
	if f := st.Mode & unix.S_IFMT; err != nil || f != unix.S_IFREG && f != unix.S_IFLNK {
		return nil
	}
	sum, err := s.real.sumOf(rel, st.Mode)
	if err != nil {
		return nil
	}
	e := &entry{kind: kFile, mode: st.Mode, real: stampOf(&st), sum: sum}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		e.kind = kLink
	}
	s.setEntry(rel, e)
	return e
}

// hide finds the base files that a whiteout, or the mark of an opaque directory,
// takes away; kept tells what stands in the upper layer itself.
func (d *diffing) hide(ctx context.Context) error {
	s := d.s
	for rel := range s.idx.m {
		d.seen[rel] = true
	}
	var mu sync.Mutex
	var gone []string
	for _, rel := range d.hidden0 {
		st, err := s.real.lstat(rel)
		if err != nil {
			continue
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			gone = append(gone, rel)
			continue
		}
		err = s.real.walk(ctx, rel, func(it item) bool {
			mu.Lock()
			defer mu.Unlock()
			if s.places[it.rel] {
				return false
			}
			if _, denied := s.opts.Denied(it.rel); denied {
				return false
			}
			if it.format() == unix.S_IFDIR {
				return true
			}
			if _, err := s.tree.lstat(it.rel); errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
				gone = append(gone, it.rel)
			}
			return false
		}, nil)
		if err != nil {
			return err
		}
	}
	ignored, err := s.checkIgnored(ctx, gone)
	if err != nil {
		return err
	}
	for _, rel := range gone {
		if ignored[rel] {
			d.hidden++
		} else if s.recordBase(rel) != nil {
			delete(d.seen, rel)
		}
	}
	return nil
}

// opaque is the mark of a directory that hides the lower one (userxattr).
const opaque = "user.overlay.opaque"

// copyLayer copies an upper directory: files, links, whiteouts and opaque marks
// (kernel documentation, filesystems/overlayfs).
func copyLayer(src, dst *root) error {
	return copyTree(src, dst, "", func(string) bool { return false })
}

// copyTree copies rel and what is below it from one root to the same place of
// another, less what skip names.
func copyTree(src, dst *root, rel string, skip func(rel string) bool) error {
	var mu sync.Mutex
	var list []item
	if st, err := src.lstat(rel); rel != "" && err == nil {
		list = append(list, item{rel, st})
	}
	err := src.walk(context.Background(), rel, func(it item) bool {
		mu.Lock()
		defer mu.Unlock()
		if skip(it.rel) {
			return false
		}
		list = append(list, it)
		return true
	}, nil)
	sort.Slice(list, func(i, j int) bool { return list[i].rel < list[j].rel })
	dirs := 0
	for ; dirs < len(list) && err == nil; dirs++ {
		if list[dirs].format() == unix.S_IFDIR {
			err = copyNode(src, dst, &list[dirs])
		}
	}
	if err != nil {
		return err
	}
	return parallel(context.Background(), len(list), func(i int) error {
		if list[i].format() == unix.S_IFDIR {
			return nil
		}
		err := copyNode(src, dst, &list[i])
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ELOOP) {
			return nil // changed since
		}
		return err
	})
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
