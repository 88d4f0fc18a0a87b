package stage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"sort"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
)

// prepareSnapshot makes the staged tree what the real one is, where the agent
// has not changed it.
func (s *Staging) prepareSnapshot(ctx context.Context, sc *scan) error {
	s.mounts = append(s.mounts, countersign.Mount{Type: "bind", Source: s.tree.path, Target: s.opts.Project.Root})
	fresh := s.blank
	if err := s.takeGone(sc); err != nil {
		return err
	}
	rels := make([]string, 0, len(sc.items))
	for rel := range sc.items {
		rels = append(rels, rel)
	}
	sort.Strings(rels) // a directory before what lies in it
	var jobs []string
	for _, rel := range rels {
		later, err := s.takeDir(sc, rel)
		if err != nil {
			return err
		}
		if later {
			jobs = append(jobs, rel)
		}
	}
	first := s.hardLinks(sc, jobs)
	err := parallel(ctx, len(jobs), func(i int) error {
		if at := first[jobs[i]]; at != "" && at != jobs[i] {
			return nil // linked below
		}
		return s.takeFile(sc.items[jobs[i]], sc.ignored.Files[jobs[i]], fresh)
	})
	if err != nil {
		return err
	}
	if err := s.makeLinks(first, jobs); err != nil {
		return err
	}
	if err := s.takeBulk(ctx, sc); err != nil {
		return err
	}
	return s.dirTimes(rels, sc)
}

// takeDir handles what is decided at once: directories, denied names and special
// files. It tells whether rel is a file or link to be looked at.
func (s *Staging) takeDir(sc *scan, rel string) (later bool, err error) {
	it := sc.items[rel]
	if rule, denied := sc.denied[rel]; denied {
		return false, s.takeDenied(it, rule, sc.alias[rel])
	}
	e := s.idx.m[rel]
	switch it.format() {
	case unix.S_IFREG, unix.S_IFLNK:
		return e == nil || e.real != stampOf(&it.st) || (e.kind != kFile && e.kind != kLink && e.kind != kClosed), nil
	case unix.S_IFDIR:
		if e != nil && (e.kind == kDir || e.kind == kBulk || e.kind == kAttach) {
			return false, nil
		}
		if err := s.tree.mkdirAll(rel, it.st.Mode&0o777|0o700); agents(err) {
			return false, nil // the agent has something else there
		} else if err != nil {
			return false, err
		}
		ne := &entry{kind: kDir, mode: it.st.Mode, real: stampOf(&it.st)}
		if sc.ignored.Dirs[rel] {
			ne.flags = fIgnored
		}
		s.idx.m[rel] = ne
		return false, nil
	}
	s.notes = append(s.notes, Note{rel, "is " + special(it.format()) + " and is not in the session's tree"})
	return false, nil
}

// takeDenied sees to it that a placeholder stands at a denied path, and nothing
// that was there.
func (s *Staging) takeDenied(it *item, rule, alias string) error {
	e := s.entry(it.rel)
	k := kDenied
	if it.format() == unix.S_IFDIR {
		k = kVault
	}
	t := trip(s.opts.Project.Root, it.rel, rule, alias, &it.st)
	s.mu.Lock()
	s.trips[it.rel] = t
	s.mu.Unlock()
	if e != nil && e.kind == k {
		e.real, e.mode, e.rule, e.alias = stampOf(&it.st), it.st.Mode, rule, alias
		return nil
	}
	if s.meta.Backend == Overlay {
		s.setEntry(it.rel, &entry{kind: k, mode: it.st.Mode, real: stampOf(&it.st), rule: rule, alias: alias})
		return nil
	}
	if err := s.setAside(it.rel); err != nil {
		return err
	}
	st, err := s.placeholder(it)
	if err != nil {
		return err
	}
	s.setEntry(it.rel, &entry{kind: k, mode: it.st.Mode, real: stampOf(&it.st), snap: stampOf(&st), rule: rule, alias: alias})
	return nil
}

// placeholder puts an empty file or directory of the same permission and time.
func (s *Staging) placeholder(it *item) (st unix.Stat_t, err error) {
	perm := it.st.Mode & 0o777
	if it.format() == unix.S_IFLNK {
		perm = 0o644
	}
	if err := s.tree.mkdirAll(parent(it.rel), 0o755); err != nil {
		return st, err
	}
	if it.format() == unix.S_IFDIR {
		err = s.tree.mkdir(it.rel, perm|0o700)
	} else {
		var f *os.File
		if f, err = s.tree.open(it.rel, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600); err == nil {
			err = unix.Fchmod(int(f.Fd()), perm)
			f.Close()
		}
	}
	if err == nil {
		err = s.tree.utimes(it.rel, it.st.Mtim)
	}
	if err != nil {
		return st, err
	}
	return s.tree.lstat(it.rel)
}

// setAside takes what stands at a path that is now denied out of the agent's
// sight: what it made there itself is the person's to judge, not lost.
func (s *Staging) setAside(rel string) error {
	if _, err := s.tree.lstat(rel); errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	if e := s.entry(rel); e != nil { // a copy of the real file from before it was denied
		s.saved.unlink(hex.EncodeToString(e.sum[:]))
		return s.tree.removeAll(rel)
	}
	name := tempName()
	if err := s.tree.rename(rel, s.saved, "aside-"+name); err != nil {
		return err
	}
	s.note(rel, "was made inside; the host now has a denied file of that name, so the session's was moved to "+filepath.Join(s.saved.path, "aside-"+name))
	return nil
}

// hardLinks maps each file with more names to the first of them.
func (s *Staging) hardLinks(sc *scan, jobs []string) map[string]string {
	first, by := map[string]string{}, map[fileID]string{}
	for _, rel := range jobs {
		it := sc.items[rel]
		if it.format() != unix.S_IFREG || it.st.Nlink < 2 {
			continue
		}
		id := idOf(&it.st)
		if by[id] == "" {
			by[id] = rel
		}
		first[rel] = by[id]
	}
	return first
}

func (s *Staging) makeLinks(first map[string]string, jobs []string) error {
	for _, rel := range jobs {
		at := first[rel]
		if at == "" || at == rel {
			continue
		}
		e := s.idx.m[at]
		if e == nil || e.kind != kFile || s.idx.m[rel] != nil {
			if err := s.takeFileNow(rel); err != nil {
				return err
			}
			continue
		}
		if err := s.tree.link(at, s.tree, rel); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
		st, err := s.tree.lstat(at)
		if err != nil {
			return err
		}
		e.snap = stampOf(&st)
		ne := *e
		s.idx.m[rel] = &ne
	}
	for _, at := range first { // linking changed the ctime of all
		if e := s.idx.m[at]; e != nil && e.kind == kFile {
			if st, err := s.tree.lstat(at); err == nil && st.Ino == e.snap.ino {
				e.snap = stampOf(&st)
			}
		}
	}
	for rel, at := range first {
		if e, f := s.idx.m[rel], s.idx.m[at]; e != nil && f != nil && e.snap.ino == f.snap.ino {
			e.snap = f.snap
		}
	}
	return nil
}

// takeFileNow looks at one path again and takes it over.
func (s *Staging) takeFileNow(rel string) error {
	st, err := s.real.lstat(rel)
	if err != nil {
		return nil // gone since; the watch or the next start tells
	}
	return s.takeFile(&item{rel, st}, false, false)
}

// takeFile carries one file or link of the real tree into the staged one, unless
// the agent has changed it there.
func (s *Staging) takeFile(it *item, ignored, fresh bool) error {
	e := s.entry(it.rel)
	if !fresh {
		switch free, err := s.free(it.rel, e); {
		case err != nil:
			return err
		case !free:
			return s.clash(it, e)
		}
	}
	ne := &entry{kind: kFile, mode: it.st.Mode}
	if ignored {
		ne.flags = fIgnored
	}
	at, dst := s.tmp, tempName()
	if fresh {
		at, dst = s.tree, it.rel
	}
	if err := s.copyItem(it, at, dst, ne); err != nil {
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ELOOP) {
			return nil // gone or become something else since; the watch or the next start tells
		}
		return err
	}
	if !fresh {
		placed, err := s.putInPlace(dst, it.rel, ne, e)
		if err != nil {
			return err
		}
		if !placed {
			return s.clash(it, e)
		}
	}
	s.setEntry(it.rel, ne)
	return nil
}

// copyItem copies a file or link to dst below at and fills in the entry.
func (s *Staging) copyItem(it *item, at *root, dst string, ne *entry) error {
	if it.format() == unix.S_IFLNK {
		to, err := s.real.readlink(it.rel)
		if err == nil {
			err = at.symlink(to, dst)
		}
		if err == nil {
			err = at.utimes(dst, it.st.Mtim)
		}
		if err != nil {
			return err
		}
		st, err := at.lstat(dst)
		ne.kind, ne.real, ne.snap, ne.sum = kLink, stampOf(&it.st), stampOf(&st), sha256.Sum256([]byte(to))
		return err
	}
	c, err := copyFile(s.real, it.rel, at, dst, true)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return s.closed(it, at, dst, ne)
	}
	ne.mode, ne.real, ne.snap, ne.sum = c.mode, c.real, c.snap, c.sum
	return err
}

// closed stands in for a file the user cannot read.
func (s *Staging) closed(it *item, at *root, dst string, ne *entry) error {
	f, err := at.open(dst, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0)
	if err != nil {
		return err
	}
	f.Close()
	st, err := at.lstat(dst)
	ne.kind, ne.real, ne.snap = kClosed, stampOf(&it.st), stampOf(&st)
	s.note(it.rel, "cannot be read; an empty file without permissions stands in its place")
	return err
}

// agents tells whether an error means that the agent has put something else at
// a path, or at one above it.
func agents(err error) bool {
	return errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

func (k kind) dir() bool { return k == kDir || k == kVault || k == kBulk || k == kAttach }

// takeGone removes what is gone from the real tree, or has become a directory or
// is none any more, and is untouched in the staged one.
func (s *Staging) takeGone(sc *scan) error {
	var gone []string
	for rel, e := range s.idx.m {
		it := sc.items[rel]
		if it != nil && e.kind.dir() != (it.format() == unix.S_IFDIR) || it == nil && !underBulk(sc.bulk, rel) && !unread(sc.failed, rel) {
			gone = append(gone, rel)
		}
	}
	sort.Sort(sort.Reverse(sort.StringSlice(gone))) // what lies in a directory before it
	for _, rel := range gone {
		if err := s.dropGone(rel); err != nil {
			return err
		}
	}
	return nil
}

// dropGone carries one deletion in.
func (s *Staging) dropGone(rel string) error {
	e := s.entry(rel)
	var err error
	switch e.kind {
	case kDir, kVault:
		err = s.tree.rmdir(rel)
	case kBulk, kAttach:
		return nil // the session's own; kept
	default:
		var free bool
		if _, serr := s.tree.lstat(rel); errors.Is(serr, unix.ENOENT) || agents(serr) {
			break // deleted on both sides
		}
		if free, err = s.free(rel, e); err == nil && !free && e.kind != kDenied && e.kind != kClosed {
			s.mu.Lock()
			e.flags |= fConflict
			s.mu.Unlock()
			return nil
		}
		if err == nil {
			err = s.takeOut(rel, e)
		}
	}
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTEMPTY) && !agents(err) {
		return err
	}
	s.setEntry(rel, nil)
	s.mu.Lock()
	delete(s.trips, rel)
	s.mu.Unlock()
	return nil
}

// takeOut removes an untouched file. If it was touched at this very moment it
// is put back.
func (s *Staging) takeOut(rel string, e *entry) error {
	if e.kind == kDenied || e.kind == kClosed {
		return s.tree.unlink(rel)
	}
	tmp := tempName()
	if err := s.tree.rename(rel, s.tmp, tmp); err != nil {
		return err
	}
	if s.cameOut(tmp, e) {
		return s.tmp.unlink(tmp)
	}
	return s.tmp.renameat(tmp, s.tree, rel, unix.RENAME_NOREPLACE)
}

// dirTimes gives new directories the times of the real ones.
func (s *Staging) dirTimes(rels []string, sc *scan) error {
	for i := len(rels) - 1; i >= 0; i-- {
		it, e := sc.items[rels[i]], s.idx.m[rels[i]]
		if e == nil || e.kind != kDir || e.snap.ino != 0 {
			continue
		}
		if err := s.tree.utimes(it.rel, it.st.Mtim); err != nil {
			continue // the agent has something else there
		}
		if st, err := s.tree.lstat(it.rel); err == nil {
			e.snap = stampOf(&st)
		}
		if it.st.Mode&0o700 != 0o700 && it.st.Mode&0o500 == 0o500 { // one that cannot be read stays ours to read
			s.tree.chmod(it.rel, it.st.Mode&0o777)
		}
	}
	return nil
}

func (s *Staging) entry(rel string) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.idx.m[rel]
}

func (s *Staging) setEntry(rel string, e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty = true
	if e == nil {
		delete(s.idx.m, rel)
		return
	}
	s.idx.m[rel] = e
}

func (s *Staging) note(rel, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes = append(s.notes, Note{rel, text})
}

func underBulk(bulk map[string]bool, rel string) bool {
	for d := rel; d != ""; d = parent(d) {
		if bulk[d] {
			return true
		}
	}
	return false
}

func unread(failed map[string]error, rel string) bool {
	for d := rel; d != ""; d = parent(d) {
		if failed[d] != nil {
			return true
		}
	}
	return false
}

// gitMode is the mode git would record.
func gitMode(mode uint32) uint32 {
	switch {
	case mode&unix.S_IFMT == unix.S_IFLNK:
		return 0o120000
	case mode&0o100 != 0:
		return 0o100755
	}
	return 0o100644
}
