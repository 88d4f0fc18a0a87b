package reviewing

import (
	"bytes"
	"context"
	"io"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/session"
	"github.com/countersign/countersign/workspace/tree"
)

// WireChange is a tree.Change without its content, for the control socket. Paths
// are bytes: a name need not be valid UTF-8.
type WireChange struct {
	Path, RenamedFrom []byte
	Base, Staged      *wireState
	Ignored           bool
	Commit            string
}

type wireState struct {
	Mode   uint32
	Size   int64
	SHA256 string
}

func ToWire(s *tree.State) *wireState {
	if s == nil {
		return nil
	}
	return &wireState{s.Mode, s.Size, s.SHA256}
}

type ContentArgs struct {
	Path []byte
	Base bool
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
		out[i] = tree.Change{
			Path: string(w.Path), RenamedFrom: string(w.RenamedFrom), Ignored: w.Ignored, Commit: w.Commit,
			Base: l.state(w.Base, w, true), Staged: l.state(w.Staged, w, false),
		}
	}
	return out, nil
}

func (l remoteLayer) state(s *wireState, w WireChange, base bool) *tree.State {
	if s == nil {
		return nil
	}
	path := w.Path
	if base && len(w.RenamedFrom) > 0 {
		path = w.RenamedFrom
	}
	return &tree.State{Mode: s.Mode, Size: s.Size, SHA256: s.SHA256, Open: func() (io.ReadCloser, error) {
		var b []byte
		err := session.Ask(l.ctx, l.socket, "layer.content", ContentArgs{path, base}, &b)
		return io.NopCloser(bytes.NewReader(b)), err
	}}
}

func (l remoteLayer) BaseBytes(rel string) ([]byte, error) {
	var b []byte
	err := session.Ask(l.ctx, l.socket, "layer.content", ContentArgs{[]byte(rel), true}, &b)
	return b, err
}

func (l remoteLayer) MarkApplied(paths ...string) error {
	var bs [][]byte
	for _, p := range paths {
		bs = append(bs, []byte(p))
	}
	return session.Ask(l.ctx, l.socket, "layer.applied", bs, nil)
}

func (l remoteLayer) TakeOver(ctx context.Context, commit string) error {
	return session.Ask(ctx, l.socket, "layer.takeover", commit, nil)
}
func (noLayer) Changes(context.Context) ([]tree.Change, error) { return nil, nil }

func (noLayer) MarkApplied(...string) error { return nil }

func (noLayer) TakeOver(context.Context, string) error { return nil }

func (noLayer) Close() error { return nil }

func (noLayer) BaseBytes(rel string) ([]byte, error) {
	return nil, &countersign.Error{Code: countersign.ENotFound, Op: "read the base of", Thing: rel}
}

func (remoteLayer) Close() error { return nil }
