package stage

import (
	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/workspace/layer"
	"github.com/countersign/countersign/workspace/tree"
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
		if err := s.base.Mark(rel); err != nil {
			return err
		}
	}
	return s.store()
}

// Land brings staged files and their base to what an apply made of them. It
// returns the paths where the agent has written since the review, or a person
// since the apply: there nothing has changed.
func (s *Staging) Land(all []tree.Landing) (behind [][]byte, err error) {
	s.op.Lock()
	defer s.op.Unlock()
	for _, l := range all {
		if landed, err := s.base.Land(l); err != nil {
			return behind, err
		} else if !landed {
			behind = append(behind, l.Path)
		}
	}
	return behind, s.store()
}

// Return moves the base of paths to what an undo is about to leave there: Was and
// Mode of each, "" for nothing. MarkApplied follows it, whether or not it did.
func (s *Staging) Return(all []tree.Landing) error {
	s.op.Lock()
	defer s.op.Unlock()
	for _, l := range all {
		s.base.Return(l)
	}
	return s.store()
}

// Move brings the base of denied files to where an apply or undo is about to move
// them: what the watch then sees is no news. Those that stayed are moved back.
func (s *Staging) Move(all []tree.Place) error {
	s.op.Lock()
	defer s.op.Unlock()
	s.mu.Lock()
	for range all { // one may go where another was
		for _, m := range all {
			s.base.Rekey(string(m.From), string(m.To))
			delete(s.trips, string(m.From))
		}
	}
	s.mu.Unlock()
	return s.store()
}

// Mounted says where the view of the session stands while it runs, as a path of
// this process: the files of an overlay are changed there and nowhere else.
func (s *Staging) Mounted(at string) error {
	if s.meta.Backend != Overlay {
		return nil
	}
	view, err := layer.Open(at)
	if err != nil {
		return &countersign.Error{Code: countersign.EInternal, Op: "reach the session's view of", Thing: s.opts.Project.Root, Err: err}
	}
	s.op.Lock()
	s.base.View = view
	s.op.Unlock()
	return nil
}
