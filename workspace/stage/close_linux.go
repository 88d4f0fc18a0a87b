package stage

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/countersign/countersign/workspace/base"
	"github.com/countersign/countersign/workspace/layer"
)

// Close ends a Watch as Rest does, and the use of the layer. What has undecided
// changes, or commits of its own, stays with its session; a clean snapshot becomes
// the project's kept one, which the next start only has to bring up to date. A
// layer opened for its review stays where it is: an undo needs it.
func (s *Staging) Close() error {
	s.Rest()
	s.op.Lock()
	if s.base.View != nil {
		s.base.View.Close() // the last hold on the mount, once its session is gone
		s.base.View = nil
	}
	changes, err := s.changes(context.Background())
	if err == nil {
		for _, rel := range s.odd {
			err = errors.Join(err, s.tree.Unlink(rel))
		}
		s.meta.Changes = 0
		for _, c := range changes {
			if !c.Ignored && c.Differs() {
				s.meta.Changes++
			}
		}
	}
	if s.opts.From != s.opts.SessionDir { // a look for its review makes it no newer
		s.meta.Used = s.opts.Now().UTC()
	}
	clean := err == nil && s.meta.Changes == 0
	if s.git.Own() || slices.ContainsFunc(s.moves, func(m base.Move) bool { return m.To != "" }) {
		s.meta.Changes, clean = max(s.meta.Changes, 1), false // commits or a stash of its own, or a placeholder elsewhere
	}
	err = errors.Join(err, s.store(), s.names.Save(s.deniedFile()))
	s.op.Unlock()
	s.release()
	if clean && err == nil && s.opts.From != s.opts.SessionDir {
		err = s.keep()
	}
	return err
}

// keep makes the layer the project's kept one.
func (s *Staging) keep() error {
	if err := layer.Remove(s.gitDir()); err != nil {
		return err
	}
	kept := s.keptDir()
	m, live, err := readMeta(kept)
	if err == nil && live {
		return nil // another session is about to take it
	}
	if holder, _ := os.ReadFile(s.holderFile()); err == nil && m.ID == string(holder) && m.ID != s.meta.ID {
		return Discard(s.opts.SessionDir) // ours has but a copy of the ignored files
	}
	old := filepath.Join(s.layer, "..", "old-"+layer.TempName())
	if err := os.Rename(kept, old); err == nil {
		defer layer.Remove(old)
	}
	return os.Rename(s.layer, kept)
}
