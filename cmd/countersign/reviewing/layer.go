package reviewing

import (
	"context"
	"os"

	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/session"
	"github.com/countersign/countersign/workspace/commits"
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
	// Land brings staged files to what an apply made of them, but for those behind.
	Land(all []tree.Landing) (behind [][]byte, err error)
	// Return moves the base to what an undo is about to leave.
	Return(all []tree.Landing) error
	// Move moves the base of denied files to where they are about to be moved.
	Move(all []tree.Place) error
	// TakeOver brings a commit made inside into the real repository, or only looks.
	TakeOver(ctx context.Context, args TakeArgs) (gitview.Taken, error)
	// GiveBack moves a ref that was taken over back, or only looks.
	GiveBack(ctx context.Context, args GiveArgs) error
	// Kept are the commits made inside that stay there, whatever is accepted.
	Kept(ctx context.Context) ([]commits.Kept, error)
	Close() error
}

// noLayer is the layer of a session that left nothing.
type noLayer struct{ project *gitview.Project }

// TakeArgs say which commit is taken over, and what of it and those below was
// accepted and applied.
type TakeArgs struct {
	Commit   string
	Accepted []CommitPath
	Dry      bool
}

// CommitPath is a path, in bytes, that a commit changes.
type CommitPath struct {
	Commit string
	Path   []byte
}

// GiveArgs say which ref is given back.
type GiveArgs struct {
	Taken gitview.Taken
	Dry   bool
}

// openLayer finds a session's layer, wherever it is held.
func openLayer(ctx context.Context, a *base.App, k session.Kept, project *gitview.Project, p *policy.Policy) (layer, error) {
	if a.Dirs.Live(k.ID) {
		return remoteLayer{ctx, a.Dirs.Socket(k.ID)}, nil
	}
	dir := a.Dirs.Session(k.ID)
	if _, err := os.Stat(dir + "/layer/meta.json"); os.IsNotExist(err) {
		return noLayer{project}, nil
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

// Held is a layer that this process holds.
type Held struct{ *stage.Staging }

// TakeOver brings a commit made inside into the real repository.
func (l Held) TakeOver(ctx context.Context, args TakeArgs) (gitview.Taken, error) {
	commits, err := l.Git().NewCommits(ctx)
	if err != nil {
		return gitview.Taken{}, err
	}
	yes := map[string]bool{}
	for _, a := range args.Accepted {
		yes[a.Commit+string(a.Path)] = true
	}
	says := func(commit, path string) bool { return yes[commit+path] }
	for _, c := range commits {
		if c.ID == args.Commit {
			return l.Git().TakeOver(ctx, c.Repo, c.ID, says, args.Dry)
		}
	}
	return gitview.Taken{}, nil // it is there already
}

// Kept lists the commits that stay inside.
func (l Held) Kept(ctx context.Context) ([]commits.Kept, error) {
	list, err := l.Git().NewCommits(ctx)
	return commits.KeptOf(list), err
}

// GiveBack moves a ref that was taken over back.
func (l Held) GiveBack(ctx context.Context, args GiveArgs) error {
	return l.Git().GiveBack(ctx, args.Taken, args.Dry)
}
