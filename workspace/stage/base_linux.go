package stage

import (
	"errors"

	"github.com/countersign/countersign/workspace/base"
	"github.com/countersign/countersign/workspace/layer"
	"golang.org/x/sys/unix"
)

// BaseBytes returns the content a path had in the base (a link's target): from
// the real tree while it still stands there, else from what was saved when the
// agent first changed the file, else from git.
func (s *Staging) BaseBytes(rel string) ([]byte, error) { return s.base.Bytes(rel) }

// MarkApplied moves the base of paths forward to what the real tree holds now:
// what was applied is no longer a change.
func (s *Staging) MarkApplied(paths ...string) error {
	s.op.Lock()
	defer s.op.Unlock()
	for _, rel := range paths {
		st, err := s.real.Lstat(rel)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			s.base.Set(rel, nil)
			continue
		}
		if err != nil {
			return err
		}
		if f := st.Mode & unix.S_IFMT; f != unix.S_IFREG && f != unix.S_IFLNK {
			continue
		}
		sum, err := s.real.Sum(rel, st.Mode)
		if err != nil {
			return err
		}
		k := base.File
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			k = base.Link
		}
		ne := &base.Entry{Kind: k, Mode: st.Mode, Real: layer.StampOf(&st), Sum: sum} // no stamp: the staged file is read next time
		if e := s.base.Get(rel); e != nil {
			ne.Flags = e.Flags & base.Ignored
		}
		s.base.Set(rel, ne)
		s.knowDirs(layer.Parent(rel))
	}
	return s.store()
}

// knowDirs enters the directories above an applied file.
func (s *Staging) knowDirs(dir string) {
	for ; dir != "" && s.base.Get(dir) == nil; dir = layer.Parent(dir) {
		if st, err := s.real.Lstat(dir); err == nil {
			s.base.Set(dir, &base.Entry{Kind: base.Dir, Mode: st.Mode, Real: layer.StampOf(&st)})
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
		st, err := s.real.Lstat(rel)
		if err != nil {
			return err
		}
		if _, _, denied := s.names.Denied(&layer.Item{Rel: rel, St: st}); denied || s.meta.Backend == Overlay {
			continue
		}
		if _, err := s.tree.Lstat(rel); err == nil {
			if err := s.tree.Rename(rel, s.saved, "carried-"+layer.TempName()); err != nil {
				return err
			}
		}
		s.base.Set(rel, nil)
		if err := s.takeFile(&layer.Item{Rel: rel, St: st}, false, true); err != nil {
			return err
		}
	}
	return s.store()
}
