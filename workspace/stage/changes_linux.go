package stage

import (
	"context"

	"github.com/countersign/countersign/workspace/tree"
)

// Changes is the difference between the layer and its base, sorted by path. A
// file whose size, times and inode are those of the base is not read (as git's
// index does it; ctime cannot be set from inside).
func (s *Staging) Changes(ctx context.Context) ([]tree.Change, error) {
	s.op.Lock()
	defer s.op.Unlock()
	return s.changes(ctx)
}

func (s *Staging) changes(ctx context.Context) ([]tree.Change, error) {
	d, err := s.base.Compare(ctx)
	if err != nil {
		return nil, err
	}
	s.moves, s.hidden, s.odd = d.Moves, d.Hidden, d.Odd
	return s.commits.Mark(ctx, s.git, d.Changes, s.base.State)
}

// Rest ends a Watch and waits for it. Whoever calls it says that nothing of the
// session runs any more: what there is to find is looked for once.
func (s *Staging) Rest() {
	s.unwatch()
	s.watching.Lock() // once it has ended; none begins any more
	s.watching.Unlock()
	s.op.Lock()
	s.base.Rest()
	s.op.Unlock()
}

// Hidden is the number of changed files that git ignores and that the last
// Changes did not list, each bulk directory counted by what it holds.
func (s *Staging) Hidden() int {
	s.op.Lock()
	defer s.op.Unlock()
	return s.hidden
}
