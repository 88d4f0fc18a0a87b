package reviewing

import (
	"context"
	"os"

	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/session"
	"github.com/countersign/countersign/workspace/gitview"
	"github.com/countersign/countersign/workspace/stage"
	"github.com/countersign/countersign/workspace/tree"
)

// layer is a staging layer as a review needs it: held by this process, or by
// the live session that is asked.
type layer interface {
	Changes(ctx context.Context) ([]tree.Change, error)
	BaseBytes(rel string) ([]byte, error)
	MarkApplied(paths ...string) error
	// TakeOver brings a commit made inside into the real repository.
	TakeOver(ctx context.Context, commit string) error
	Close() error
}

// noLayer is the layer of a session that left nothing.
type noLayer struct{}

// openLayer finds a session's layer, wherever it is held.
func openLayer(ctx context.Context, a *base.App, k session.Kept, project *gitview.Project, p *policy.Policy) (layer, error) {
	if a.Dirs.Live(k.ID) {
		return remoteLayer{ctx, a.Dirs.Socket(k.ID)}, nil
	}
	dir := a.Dirs.Session(k.ID)
	if _, err := os.Stat(dir + "/layer/meta.json"); os.IsNotExist(err) {
		return noLayer{}, nil
	}
	st, err := stage.New(ctx, stage.Options{
		Project: project, StateDir: a.Dirs.State, SessionDir: dir, From: dir, Now: a.Now,
		Denied: base.DeniedBy(p), Notable: base.NotableBy(p),
	})
	if err != nil {
		return nil, err
	}
	return Held{st}, nil
}

// heldLayer is a layer that this process holds.
type Held struct{ *stage.Staging }

// TakeOver brings a commit made inside into the real repository.
func (l Held) TakeOver(ctx context.Context, commit string) error {
	commits, err := l.Git().NewCommits(ctx)
	if err != nil {
		return err
	}
	for _, c := range commits {
		if c.ID == commit {
			return l.Git().TakeOver(ctx, c.Repo, commit)
		}
	}
	return nil // it is there already
}
