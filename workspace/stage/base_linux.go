package stage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
)

// BaseBytes returns the content a path had in the base (a link's target): from
// the real tree while it still stands there, else from what was saved when the
// agent first changed the file, else from git.
func (s *Staging) BaseBytes(rel string) ([]byte, error) {
	e := s.entry(rel)
	if e == nil || (e.kind != kFile && e.kind != kLink) {
		return nil, &countersign.Error{Code: countersign.ENotFound, Op: "read the base of", Thing: rel, Err: unix.ENOENT}
	}
	name := hex.EncodeToString(e.sum[:])
	if f, _, err := s.saved.openRegular(name); err == nil {
		defer f.Close()
		if b, err := io.ReadAll(f); err == nil && sha256.Sum256(b) == e.sum {
			return b, nil
		}
	}
	if r, err := openAt(s.real, rel, e.mode); err == nil {
		defer r.Close()
		if b, err := io.ReadAll(r); err == nil && sha256.Sum256(b) == e.sum {
			return b, nil
		}
	}
	if p := s.opts.Project; p.Git {
		for _, b := range p.Committed(context.Background(), rel) {
			if sha256.Sum256(b) == e.sum {
				return b, nil
			}
		}
	}
	return nil, &countersign.Error{Code: countersign.ENotFound, Op: "read the base of", Thing: rel, Err: errors.New("the real file has changed since, and its old bytes were not saved")}
}

// saveBase keeps the base bytes of a path that the agent has changed, while the
// real file still holds them.
func (s *Staging) saveBase(rel string, e *entry) {
	name := hex.EncodeToString(e.sum[:])
	if _, err := s.saved.lstat(name); err == nil || e.kind != kFile {
		return
	}
	st, err := s.real.lstat(rel)
	if err != nil || st.Size != e.real.size || st.Mtim.Nano() != e.real.mtime {
		return
	}
	tmp := tempName()
	c, err := copyFile(s.real, rel, s.tmp, tmp, true)
	if err == nil && c.sum == e.sum {
		err = s.tmp.rename(tmp, s.saved, name)
	}
	if err != nil || c.sum != e.sum {
		s.tmp.unlink(tmp)
	}
}

// MarkApplied moves the base of paths forward to what the real tree holds now:
// what was applied is no longer a change.
func (s *Staging) MarkApplied(paths ...string) error {
	s.op.Lock()
	defer s.op.Unlock()
	for _, rel := range paths {
		st, err := s.real.lstat(rel)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			s.setEntry(rel, nil)
			continue
		}
		if err != nil {
			return err
		}
		if f := st.Mode & unix.S_IFMT; f != unix.S_IFREG && f != unix.S_IFLNK {
			continue
		}
		sum, err := s.real.sumOf(rel, st.Mode)
		if err != nil {
			return err
		}
		k := kFile
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			k = kLink
		}
		ne := &entry{kind: k, mode: st.Mode, real: stampOf(&st), sum: sum} // no stamp: the staged file is read next time
		if e := s.entry(rel); e != nil {
			ne.flags = e.flags & fIgnored
		}
		s.setEntry(rel, ne)
		s.knowDirs(parent(rel))
	}
	return s.store()
}

// knowDirs enters the directories above an applied file.
func (s *Staging) knowDirs(dir string) {
	for ; dir != "" && s.entry(dir) == nil; dir = parent(dir) {
		if st, err := s.real.lstat(dir); err == nil {
			s.setEntry(dir, &entry{kind: kDir, mode: st.Mode, real: stampOf(&st)})
		}
	}
}

// Carry puts the real files over the staged ones, as a person's edit that wins:
// for paths where an edited hunk was applied and nothing of the agent's is left
// undecided. The agent's version is kept among the saved ones.
func (s *Staging) Carry(paths ...string) error {
	s.op.Lock()
	defer s.op.Unlock()
	for _, rel := range paths {
		st, err := s.real.lstat(rel)
		if err != nil {
			return err
		}
		if _, denied := s.opts.Denied(rel); denied || s.meta.Backend == Overlay {
			continue
		}
		if _, err := s.tree.lstat(rel); err == nil {
			if err := s.tree.rename(rel, s.saved, "carried-"+tempName()); err != nil {
				return err
			}
		}
		s.setEntry(rel, nil)
		if err := s.takeFile(&item{rel, st}, false, true); err != nil {
			return err
		}
	}
	return s.store()
}
