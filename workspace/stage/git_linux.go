package stage

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/workspace/gitview"
	"github.com/countersign/countersign/workspace/layer"
	"github.com/countersign/countersign/workspace/survey"
)

// sessionGit makes the git directories of the session.
func (s *Staging) sessionGit(ctx context.Context, nested []string) (err error) {
	hooks := filepath.Join(s.layer, "hooks")
	if err := os.MkdirAll(hooks, 0o755); err != nil {
		return err
	}
	s.git, err = s.opts.Project.SessionGit(ctx, gitview.Options{
		Dir: s.gitDir(), Store: filepath.Join(s.projectDir(), "git"),
		Hooks: hooks, Nested: nested, Denied: s.opts.Denied,
	})
	return err
}

func (s *Staging) gitDir() string { return filepath.Join(s.layer, "git") }

// placeGit puts the session's git directories where they belong in the tree.
func (s *Staging) placeGit(sc *survey.Survey) error {
	s.base.Nested = sc.Nested
	for _, p := range s.git.Places {
		s.base.Places[p.Rel] = true
		if err := s.place(p); err != nil {
			return err
		}
		if p.File != nil {
			s.mounts = append(s.mounts, countersign.Mount{Type: "bind", Source: filepath.Join(s.tree.Path, p.Rel), Target: filepath.Join(s.opts.Project.Root, p.Rel), RO: true})
		}
	}
	s.mounts = append(s.mounts, s.git.Mounts...)
	return nil
}

// place puts a mount point or a .git file.
func (s *Staging) place(p gitview.Place) error {
	st, err := s.tree.Lstat(p.Rel)
	want := uint32(unix.S_IFDIR)
	if p.File != nil {
		want = unix.S_IFREG
	}
	if err == nil && st.Mode&unix.S_IFMT == want && p.File == nil {
		return nil
	}
	if err == nil {
		if err := s.tree.RemoveAll(p.Rel); err != nil {
			return err
		}
	}
	if s.meta.Backend == Overlay {
		err = s.upperDir(layer.Parent(p.Rel))
	} else {
		err = s.tree.MkdirAll(layer.Parent(p.Rel), 0o755)
	}
	if err != nil {
		return err
	}
	if p.File == nil {
		return s.tree.Mkdir(p.Rel, 0o755)
	}
	f, err := s.tree.Open(p.Rel, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(p.File)
	return errors.Join(err, f.Close())
}
