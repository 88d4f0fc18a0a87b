package stage

import (
	"context"
	"os"
	"path/filepath"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/workspace/base"
	"github.com/countersign/countersign/workspace/layer"
	"github.com/countersign/countersign/workspace/survey"
)

// prepareOverlay lays the session's upper directory over the real tree. Denied
// files stay where they are, below: the tripwires alone close them.
func (s *Staging) prepareOverlay(ctx context.Context, sc *survey.Survey) error {
	work := filepath.Join(s.layer, "work")
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	s.mounts = append(s.mounts, countersign.Mount{
		Type: "overlay", Target: s.opts.Project.Root, Lower: []string{s.opts.Project.Root}, Upper: s.tree.Path, Work: work,
	})
	if s.opts.From != s.opts.SessionDir { // a layer opened for its review stays as it is: an undo needs it
		if err := s.base.Thin(ctx); err != nil {
			return err
		}
	}
	for rel, e := range s.base.All() {
		if e.Kind == base.Denied || e.Kind == base.Vault {
			s.base.Set(rel, nil)
		}
	}
	for rel, rule := range sc.Denied {
		if err := s.takeDenied(sc.Items[rel], rule, sc.Alias[rel]); err != nil {
			return err
		}
	}
	for d := range sc.Bulk {
		list, _, err := s.listBulk(ctx, d)
		if err != nil {
			return err
		}
		s.tripBelow(list)
	}
	return nil
}

// upperDir makes a directory in the upper layer that looks like the lower one.
func (s *Staging) upperDir(rel string) error {
	if _, err := s.tree.Lstat(rel); rel == "" || err == nil {
		return nil
	}
	if err := s.upperDir(layer.Parent(rel)); err != nil {
		return err
	}
	st, err := s.real.Lstat(rel)
	if err != nil {
		return err
	}
	if err := s.tree.Mkdir(rel, st.Mode&0o777); err != nil {
		return err
	}
	return s.tree.Chmod(rel, st.Mode&0o777)
}
