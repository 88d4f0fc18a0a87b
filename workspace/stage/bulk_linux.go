package stage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
)

// takeBulk handles the bulky ignored directories: a plain copy, which behaves as
// the real one does (it can be removed, renamed, linked into), or, where that
// would take too long, an overlay mount.
func (s *Staging) takeBulk(ctx context.Context, sc *scan) error {
	dirs := make([]string, 0, len(sc.bulk))
	for d := range sc.bulk {
		dirs = append(dirs, d)
	}
	sort.Strings(dirs)
	for _, d := range dirs {
		if err := s.takeOneBulk(ctx, sc, d); err != nil {
			return err
		}
	}
	return nil
}

func (s *Staging) takeOneBulk(ctx context.Context, sc *scan, d string) error {
	e := s.idx.m[d]
	if e == nil {
		return nil
	}
	s.renewTrips(d)
	if e.kind == kBulk {
		return s.refreshBulk(ctx, sc, d, e)
	}
	list, big, err := s.listBulk(ctx, d, e.kind == kAttach)
	if err != nil {
		return err
	}
	if big || e.kind == kAttach {
		e.kind, e.flags = kAttach, fIgnored
		s.tripBelow(sc, list)
		return s.attach(d)
	}
	if err := s.copyBulk(ctx, sc, d, list); err != nil {
		return err
	}
	return nil
}

// listBulk lists what lies below an ignored directory; big tells that it is
// above the limits for a copy.
func (s *Staging) listBulk(ctx context.Context, d string, all bool) (list []item, big bool, err error) {
	var mu sync.Mutex
	var size int64
	err = s.real.walk(ctx, d, func(it item) bool {
		mu.Lock()
		defer mu.Unlock()
		list = append(list, it)
		size += it.st.Blocks * 512
		_, denied := s.opts.Denied(it.rel)
		return !denied
	}, func(rel string, err error) { s.note(rel, "cannot be read: "+err.Error()) })
	big = len(list) > s.opts.BulkFiles || size > s.opts.BulkBytes
	sort.Slice(list, func(i, j int) bool { return list[i].rel < list[j].rel })
	return list, big, err
}

// deniedIn tells whether an item of a bulk directory is denied.
func (s *Staging) deniedIn(sc *scan, it *item, secrets map[fileID]string) (rule, alias string, denied bool) {
	if rule, denied := s.opts.Denied(it.rel); denied {
		return rule, "", true
	}
	if it.st.Nlink > 1 && it.format() == unix.S_IFREG {
		for _, m := range []map[fileID]string{sc.secrets, secrets} {
			if of := m[idOf(&it.st)]; of != "" {
				rule, _ := s.opts.Denied(of)
				return rule, of, true
			}
		}
	}
	return "", "", false
}

// secretsIn finds denied inodes of a bulk directory that have more names.
func (s *Staging) secretsIn(list []item) map[fileID]string {
	m := map[fileID]string{}
	for i := range list {
		it := &list[i]
		if it.st.Nlink > 1 && it.format() == unix.S_IFREG {
			if _, denied := s.opts.Denied(it.rel); denied {
				m[idOf(&it.st)] = it.rel
			}
		}
	}
	return m
}

// tripBelow enters the denied files of an attached directory.
func (s *Staging) tripBelow(sc *scan, list []item) {
	secrets := s.secretsIn(list)
	for i := range list {
		it := &list[i]
		if rule, alias, denied := s.deniedIn(sc, it, secrets); denied {
			s.trips[it.rel] = trip(s.opts.Project.Root, it.rel, rule, alias, &it.st)
		}
	}
}

// renewTrips finds the denied files of a copied directory again.
func (s *Staging) renewTrips(d string) {
	for rel, e := range s.idx.m {
		if !strings.HasPrefix(rel, d+"/") || e.kind != kDenied && e.kind != kVault {
			continue
		}
		if st, err := s.real.lstat(rel); err == nil {
			s.trips[rel] = trip(s.opts.Project.Root, rel, e.rule, e.alias, &st)
		}
	}
}

// copyBulk makes the copy beside the tree and puts it in place whole.
func (s *Staging) copyBulk(ctx context.Context, sc *scan, d string, list []item) (err error) {
	top := tempName()
	defer func() {
		if err != nil {
			s.tmp.removeAll(top)
		}
	}()
	it := sc.items[d]
	if err := s.tmp.mkdir(top, it.st.Mode&0o777|0o700); err != nil {
		return err
	}
	signature := s.real.signature(d)
	masks, err := s.copyList(ctx, sc, d, top, list)
	if err != nil {
		return err
	}
	s.tmp.utimes(top, it.st.Mtim)
	if err := s.tree.removeAll(d); err != nil {
		return err
	}
	if err := s.tmp.rename(top, s.tree, d); err != nil {
		return err
	}
	for rel := range s.idx.m {
		if strings.HasPrefix(rel, d+"/") {
			delete(s.idx.m, rel)
		}
	}
	for rel, e := range masks {
		if st, err := s.tree.lstat(rel); err == nil {
			e.snap = stampOf(&st)
		}
		s.idx.m[rel] = e
	}
	s.idx.m[d] = &entry{kind: kBulk, flags: fIgnored, mode: it.st.Mode, real: stampOf(&it.st), sum: signature, rule: hex.EncodeToString(sig(s.tree.signature(d)))}
	return nil
}

func sig(s [32]byte) []byte { return s[:] }

// copyList copies the items of directory d to top below tmp and returns the
// entries of the denied ones.
func (s *Staging) copyList(ctx context.Context, sc *scan, d, top string, list []item) (map[string]*entry, error) {
	masks, secrets, first := map[string]*entry{}, s.secretsIn(list), map[fileID]string{}
	var files, dirs, links []*item
	at := func(rel string) string { return path.Join(top, strings.TrimPrefix(rel, d)) }
	for i := range list {
		it := &list[i]
		if rule, alias, denied := s.deniedIn(sc, it, secrets); denied {
			k := kDenied
			if it.format() == unix.S_IFDIR {
				k = kVault
			}
			masks[it.rel] = &entry{kind: k, mode: it.st.Mode, real: stampOf(&it.st), rule: rule, alias: alias}
			s.trips[it.rel] = trip(s.opts.Project.Root, it.rel, rule, alias, &it.st)
			if err := s.mask(it, at(it.rel)); err != nil {
				return nil, err
			}
			continue
		}
		switch it.format() {
		case unix.S_IFDIR:
			dirs = append(dirs, it)
			if err := s.tmp.mkdir(at(it.rel), it.st.Mode&0o777|0o700); err != nil {
				return nil, err
			}
		case unix.S_IFREG, unix.S_IFLNK:
			if it.st.Nlink > 1 && it.format() == unix.S_IFREG {
				if first[idOf(&it.st)] != "" {
					links = append(links, it)
					continue
				}
				first[idOf(&it.st)] = it.rel
			}
			files = append(files, it)
		default:
			s.notes = append(s.notes, Note{it.rel, "is " + special(it.format()) + " and is not in the session's tree"})
		}
	}
	err := parallel(ctx, len(files), func(i int) error { return s.copyPlain(files[i], at(files[i].rel)) })
	if err != nil {
		return nil, err
	}
	for _, it := range links {
		if err := s.tmp.link(at(first[idOf(&it.st)]), s.tmp, at(it.rel)); err != nil && !errors.Is(err, unix.ENOENT) {
			return nil, err
		}
	}
	for i := len(dirs) - 1; i >= 0; i-- {
		s.tmp.utimes(at(dirs[i].rel), dirs[i].st.Mtim)
	}
	return masks, nil
}

func (s *Staging) mask(it *item, at string) error {
	if it.format() == unix.S_IFDIR {
		return s.tmp.mkdir(at, it.st.Mode&0o777|0o700)
	}
	f, err := s.tmp.open(at, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, it.st.Mode&0o777)
	if err != nil {
		return err
	}
	f.Close()
	return s.tmp.utimes(at, it.st.Mtim)
}

// copyPlain copies one file or link without a digest. One that vanished
// meanwhile, or cannot be read, is left out.
func (s *Staging) copyPlain(it *item, at string) error {
	if it.format() == unix.S_IFLNK {
		to, err := s.real.readlink(it.rel)
		if err != nil {
			return nil
		}
		return s.tmp.symlink(to, at)
	}
	_, err := copyFile(s.real, it.rel, s.tmp, at, false)
	if errors.Is(err, unix.EACCES) {
		s.note(it.rel, "cannot be read and is not in the session's tree")
		return nil
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// refreshBulk copies a bulky directory anew if the person has changed the real
// one and the session not its own.
func (s *Staging) refreshBulk(ctx context.Context, sc *scan, d string, e *entry) error {
	if s.real.signature(d) == e.sum {
		return nil
	}
	if hex.EncodeToString(sig(s.tree.signature(d))) != e.rule {
		s.notes = append(s.notes, Note{d, "has changed outside too; the session keeps its own"})
		return nil
	}
	list, _, err := s.listBulk(ctx, d, false)
	if err != nil {
		return err
	}
	for rel := range s.trips {
		if strings.HasPrefix(rel, d+"/") {
			delete(s.trips, rel)
		}
	}
	return s.copyBulk(ctx, sc, d, list)
}

// signature sums up the two upper levels of a directory: an install or a build
// touches them. A deeper change alone is not seen.
func (r *root) signature(d string) [32]byte {
	h := sha256.New()
	level := []string{d}
	for range 2 {
		var next []string
		for _, dir := range level {
			var names []string
			all, err := r.names(dir)
			if err != nil {
				continue
			}
			for _, e := range all {
				names = append(names, e.Name())
			}
			sort.Strings(names)
			for _, n := range names {
				rel := path.Join(dir, n)
				st, err := r.lstat(rel)
				if err != nil {
					continue
				}
				fmt.Fprintf(h, "%q %o %d %d %d\n", rel, st.Mode, st.Size, st.Mtim.Nano(), st.Ctim.Nano())
				if st.Mode&unix.S_IFMT == unix.S_IFDIR {
					next = append(next, rel)
				}
			}
		}
		level = next
	}
	var sum [32]byte
	h.Sum(sum[:0])
	return sum
}

// attach mounts an ignored directory as an overlay whose upper layer belongs to
// the project: one session at a time writes it, another gets a copy.
func (s *Staging) attach(d string) error {
	name := hex.EncodeToString(sig(sha256.Sum256([]byte(d)))[:8])
	base := filepath.Join(ProjectDir(s.opts.StateDir, s.opts.Project.Root), "ignored", name)
	for _, sub := range []string{"upper", "work"} {
		if err := os.MkdirAll(filepath.Join(base, sub), 0o755); err != nil {
			return err
		}
	}
	lock, err := lockLayer(base)
	if err != nil {
		own := filepath.Join(s.layer, "ignored", name)
		if err := s.copyUpper(filepath.Join(base, "upper"), own); err != nil {
			return err
		}
		base = own
	} else {
		s.closers = append(s.closers, func() { lock.Close() })
	}
	up, err := openRoot(filepath.Join(base, "upper"))
	if err != nil {
		return err
	}
	s.closers = append(s.closers, up.Close)
	s.attached[d] = up
	s.mounts = append(s.mounts, countersign.Mount{
		Type: "overlay", Target: filepath.Join(s.opts.Project.Root, d), Lower: []string{filepath.Join(s.opts.Project.Root, d)},
		Upper: up.path, Work: filepath.Join(base, "work"),
	})
	return nil
}

// copyUpper copies an overlay's upper directory for a second session. What its
// holder changes meanwhile may or may not be in it.
func (s *Staging) copyUpper(from, to string) error {
	for _, sub := range []string{"upper", "work"} {
		if err := os.MkdirAll(filepath.Join(to, sub), 0o755); err != nil {
			return err
		}
	}
	src, err := openRoot(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := openRoot(filepath.Join(to, "upper"))
	if err != nil {
		return err
	}
	defer dst.Close()
	return copyLayer(src, dst)
}
