package stage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/diff"
)

// putInPlace renames what was made in tmp over the staged path, as an editor's
// save would, so that watchers inside see it. An agent that changes the path at
// this very moment loses nothing: the two are exchanged, and exchanged back if
// what came out is not the base. placed tells whether it was done.
func (s *Staging) putInPlace(tmp, rel string, ne, base *entry) (placed bool, err error) {
	defer s.tmp.removeAll(tmp)
	if base == nil || base.kind == kDir {
		if base != nil { // free() has found no work of the agent in it
			if err := s.tree.removeAll(rel); err != nil {
				return false, err
			}
		}
		err = s.tmp.renameat(tmp, s.tree, rel, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.ENOENT) {
			if err = s.tree.mkdirAll(parent(rel), 0o755); err == nil {
				err = s.tmp.renameat(tmp, s.tree, rel, unix.RENAME_NOREPLACE)
			}
		}
	} else {
		err = s.tmp.renameat(tmp, s.tree, rel, unix.RENAME_EXCHANGE)
		if err == nil && !s.cameOut(tmp, base) {
			return false, s.tmp.renameat(tmp, s.tree, rel, unix.RENAME_EXCHANGE)
		}
	}
	if errors.Is(err, unix.ENOENT) || agents(err) {
		return false, nil // the agent has just changed it
	}
	if err != nil {
		return false, err
	}
	st, err := s.tree.lstat(rel) // the rename changed the ctime
	if err == nil && st.Ino == ne.snap.ino {
		ne.snap = stampOf(&st)
	}
	return err == nil, err
}

// cameOut tells whether what was taken out of the tree is the base.
func (s *Staging) cameOut(tmp string, base *entry) bool {
	st, err := s.tmp.lstat(tmp)
	if err != nil {
		return false
	}
	if st.Ino == base.snap.ino && st.Size == base.snap.size && st.Mtim.Nano() == base.snap.mtime {
		return true
	}
	sum, err := s.tmp.sumOf(tmp, st.Mode)
	return err == nil && sum == base.sum && gitMode(st.Mode) == gitMode(base.mode)
}

// free tells whether the agent has left a path as the base has it.
func (s *Staging) free(rel string, e *entry) (bool, error) {
	st, err := s.tree.lstat(rel)
	if err != nil {
		if errors.Is(err, unix.ENOENT) {
			return e == nil, nil // else the agent has deleted it
		}
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			return false, nil
		}
		return false, err
	}
	if e == nil {
		return false, nil
	}
	if e.snap == stampOf(&st) {
		return true, nil
	}
	switch e.kind {
	case kDir:
		return s.emptyOfWork(rel)
	case kFile, kLink:
		if gitMode(st.Mode) != gitMode(e.mode) {
			return false, nil
		}
		sum, err := s.tree.sumOf(rel, st.Mode)
		return err == nil && sum == e.sum, nil
	}
	return false, nil
}

// emptyOfWork tells whether nothing below a staged directory is unknown or changed.
func (s *Staging) emptyOfWork(dir string) (bool, error) {
	clean := true
	err := s.tree.walk(context.Background(), dir, func(it item) bool {
		e := s.entry(it.rel)
		if it.format() == unix.S_IFDIR && e != nil && e.kind == kDir {
			return true
		}
		if e == nil || e.snap != stampOf(&it.st) {
			s.mu.Lock()
			clean = false
			s.mu.Unlock()
		}
		return false
	}, nil)
	return clean, err
}

// clash is called where both sides changed a path. If they agree there is none.
func (s *Staging) clash(it *item, e *entry) error {
	st, err := s.tree.lstat(it.rel)
	if err == nil && st.Mode&unix.S_IFMT == it.format() && gitMode(st.Mode) == gitMode(it.st.Mode) {
		theirs, err1 := s.tree.sumOf(it.rel, st.Mode)
		mine, err2 := s.real.sumOf(it.rel, it.st.Mode)
		if err1 == nil && err2 == nil && mine == theirs {
			k := kFile
			if it.format() == unix.S_IFLNK {
				k = kLink
			}
			ne := &entry{kind: k, mode: it.st.Mode, real: stampOf(&it.st), snap: stampOf(&st), sum: mine}
			if e != nil {
				ne.flags = e.flags &^ fConflict
			}
			s.setEntry(it.rel, ne)
			return nil
		}
	}
	if e != nil && s.contained(it, e) {
		return nil
	}
	if e != nil && e.flags&fIgnored == 0 {
		s.mu.Lock()
		e.flags |= fConflict
		s.mu.Unlock()
	}
	return nil
}

// mergeable bounds the files whose sides are compared line by line.
const mergeable = 4 << 20

// contained tells whether all that changed on the real side is in the staged
// file as well, as after an apply of some of its hunks: then the real file is
// the new base and nothing is in conflict.
func (s *Staging) contained(it *item, e *entry) bool {
	st, err := s.tree.lstat(it.rel)
	if err != nil || e.kind != kFile || it.format() != unix.S_IFREG || st.Mode&unix.S_IFMT != unix.S_IFREG || max(st.Size, it.st.Size, e.real.size) > mergeable {
		return false
	}
	base, err := s.BaseBytes(it.rel)
	if err != nil {
		return false
	}
	theirs, err1 := readAll(s.tree, it.rel)
	mine, err2 := readAll(s.real, it.rel)
	if err1 != nil || err2 != nil {
		return false
	}
	merged, conflicts := diff.Merge3(base, theirs, mine)
	if len(conflicts) > 0 || !bytes.Equal(merged, theirs) {
		return false
	}
	s.setEntry(it.rel, &entry{kind: kFile, flags: e.flags &^ fConflict, mode: it.st.Mode, real: stampOf(&it.st), sum: sha256.Sum256(mine)})
	return true
}

func readAll(r *root, rel string) ([]byte, error) {
	f, _, err := r.openRegular(rel)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}
