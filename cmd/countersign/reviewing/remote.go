package reviewing

import (
	"bytes"
	"context"
	"io"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/session"
	"github.com/countersign/countersign/workspace/commits"
	"github.com/countersign/countersign/workspace/gitview"
	"github.com/countersign/countersign/workspace/tree"
)

// WireChange is a tree.Change without its content, for the control socket. Paths
// are bytes: a name need not be valid UTF-8.
type WireChange struct {
	Path, RenamedFrom []byte
	Base, Staged      *wireState
	Ignored           bool
	Commit            string
	Aside             *wireAside
	Steps             []wireStep
}

type wireAside struct {
	Repo, Ref []byte
	N         int
}

type wireStep struct {
	Repo         []byte
	Commit       string
	N            int
	Base, Staged *wireState
}

type wireState struct {
	Mode   uint32
	Size   int64
	SHA256 string
}

func toWire(s *tree.State) *wireState {
	if s == nil {
		return nil
	}
	return &wireState{s.Mode, s.Size, s.SHA256}
}

// ToWireChange strips a change of its content.
func ToWireChange(c tree.Change) WireChange {
	w := WireChange{
		Path: []byte(c.Path), RenamedFrom: []byte(c.RenamedFrom), Base: toWire(c.Base), Staged: toWire(c.Staged),
		Ignored: c.Ignored, Commit: c.Commit,
	}
	if a := c.Aside; a != nil {
		w.Aside = &wireAside{[]byte(a.Repo), []byte(a.Ref), a.N}
	}
	for _, s := range c.Steps {
		w.Steps = append(w.Steps, wireStep{[]byte(s.Repo), s.Commit, s.N, toWire(s.Base), toWire(s.Staged)})
	}
	return w
}

// ContentArgs ask for a path as it is staged or in the base, or, by its SHA-256,
// for what a step holds.
type ContentArgs struct {
	Path []byte
	Base bool
	Step string
}

// remoteLayer asks the live session that holds the layer.
type remoteLayer struct {
	ctx    context.Context
	socket string
}

func (l remoteLayer) Changes(ctx context.Context) ([]tree.Change, error) {
	var wire []WireChange
	if err := session.Ask(ctx, l.socket, "layer.changes", nil, &wire); err != nil {
		return nil, err
	}
	out := make([]tree.Change, len(wire))
	for i, w := range wire {
		from := w.Path
		if len(w.RenamedFrom) > 0 {
			from = w.RenamedFrom
		}
		out[i] = tree.Change{
			Path: string(w.Path), RenamedFrom: string(w.RenamedFrom), Ignored: w.Ignored, Commit: w.Commit,
			Base: l.state(w.Base, ContentArgs{Path: from, Base: true}), Staged: l.state(w.Staged, ContentArgs{Path: w.Path}),
		}
		if a := w.Aside; a != nil {
			out[i].Aside = &tree.Aside{Repo: string(a.Repo), Ref: string(a.Ref), N: a.N}
			out[i].Base, out[i].Staged = l.step(w.Base), l.step(w.Staged)
		}
		for _, s := range w.Steps {
			out[i].Steps = append(out[i].Steps, tree.Step{Repo: string(s.Repo), Commit: s.Commit, N: s.N, Base: l.step(s.Base), Staged: l.step(s.Staged)})
		}
	}
	return out, nil
}

// step is what a commit holds, asked for by its SHA-256.
func (l remoteLayer) step(s *wireState) *tree.State {
	if s == nil {
		return nil
	}
	return l.state(s, ContentArgs{Step: s.SHA256})
}

func (l remoteLayer) state(s *wireState, args ContentArgs) *tree.State {
	if s == nil {
		return nil
	}
	return &tree.State{Mode: s.Mode, Size: s.Size, SHA256: s.SHA256, Open: func() (io.ReadCloser, error) {
		var b []byte
		err := session.Ask(l.ctx, l.socket, "layer.content", args, &b)
		return io.NopCloser(bytes.NewReader(b)), err
	}}
}

func (l remoteLayer) BaseBytes(rel string) ([]byte, error) {
	var b []byte
	err := session.Ask(l.ctx, l.socket, "layer.content", ContentArgs{Path: []byte(rel), Base: true}, &b)
	return b, err
}

func (l remoteLayer) MarkApplied(paths ...string) error {
	var bs [][]byte
	for _, p := range paths {
		bs = append(bs, []byte(p))
	}
	return session.Ask(l.ctx, l.socket, "layer.applied", bs, nil)
}

func (l remoteLayer) Land(all []tree.Landing) (behind [][]byte, err error) {
	err = session.Ask(l.ctx, l.socket, "layer.land", all, &behind)
	return behind, err
}

func (l remoteLayer) Return(all []tree.Landing) error {
	return session.Ask(l.ctx, l.socket, "layer.return", all, nil)
}

func (l remoteLayer) Move(all []tree.Place) error {
	return session.Ask(l.ctx, l.socket, "layer.move", all, nil)
}

func (l remoteLayer) TakeOver(ctx context.Context, args TakeArgs) (t gitview.Taken, err error) {
	err = session.Ask(ctx, l.socket, "layer.takeover", args, &t)
	return t, err
}

func (l remoteLayer) GiveBack(ctx context.Context, args GiveArgs) error {
	return session.Ask(ctx, l.socket, "layer.giveback", args, nil)
}

func (l remoteLayer) Kept(ctx context.Context) (list []commits.Kept, err error) {
	return list, session.Ask(ctx, l.socket, "layer.kept", nil, &list)
}

func (noLayer) Kept(context.Context) ([]commits.Kept, error) { return nil, nil }

func (noLayer) Changes(context.Context) ([]tree.Change, error) { return nil, nil }

func (noLayer) MarkApplied(...string) error { return nil }

func (noLayer) Land([]tree.Landing) ([][]byte, error) { return nil, nil }

func (noLayer) Return([]tree.Landing) error { return nil }

func (noLayer) Move([]tree.Place) error { return nil }

func (noLayer) TakeOver(context.Context, TakeArgs) (gitview.Taken, error) {
	return gitview.Taken{}, nil
}

func (l noLayer) GiveBack(ctx context.Context, args GiveArgs) error {
	return l.project.GiveBack(ctx, args.Taken, args.Dry)
}

func (noLayer) Close() error { return nil }

func (noLayer) BaseBytes(rel string) ([]byte, error) {
	return nil, &countersign.Error{Code: countersign.ENotFound, Op: "read the base of", Thing: rel}
}

func (remoteLayer) Close() error { return nil }
