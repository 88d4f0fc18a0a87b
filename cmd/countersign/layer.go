package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"

	countersign "github.com/countersign/countersign"
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

func (noLayer) Changes(context.Context) ([]tree.Change, error) { return nil, nil }
func (noLayer) MarkApplied(...string) error                    { return nil }
func (noLayer) TakeOver(context.Context, string) error         { return nil }
func (noLayer) Close() error                                   { return nil }
func (noLayer) BaseBytes(rel string) ([]byte, error) {
	return nil, &countersign.Error{Code: countersign.ENotFound, Op: "read the base of", Thing: rel}
}

// openLayer finds a session's layer, wherever it is held.
func (a *app) openLayer(ctx context.Context, k session.Kept, project *gitview.Project, p *policy.Policy) (layer, error) {
	if a.dirs.Live(k.ID) {
		return remoteLayer{ctx, a.dirs.Socket(k.ID)}, nil
	}
	dir := a.dirs.Session(k.ID)
	if _, err := os.Stat(dir + "/layer/meta.json"); os.IsNotExist(err) {
		return noLayer{}, nil
	}
	st, err := stage.New(ctx, stage.Options{
		Project: project, StateDir: a.dirs.State, SessionDir: dir, From: dir, Now: a.now,
		Denied: deniedBy(p), Notable: notableBy(p),
	})
	if err != nil {
		return nil, err
	}
	return heldLayer{st}, nil
}

// heldLayer is a layer that this process holds.
type heldLayer struct{ *stage.Staging }

// TakeOver brings a commit made inside into the real repository.
func (l heldLayer) TakeOver(ctx context.Context, commit string) error {
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

func deniedBy(p *policy.Policy) func(string) (string, bool) {
	return func(rel string) (string, bool) { rule, denied := p.Path(rel); return rule.ID, denied }
}

// notableBy says which ignored files are hunks all the same: what starts by
// itself.
func notableBy(p *policy.Policy) func(string) bool {
	return func(rel string) bool { risk, _ := p.Risk(rel); return risk == countersign.RiskHigh }
}

// wireChange is a tree.Change without its content, for the control socket. Paths
// are bytes: a name need not be valid UTF-8.
type wireChange struct {
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

func toWire(s *tree.State) *wireState {
	if s == nil {
		return nil
	}
	return &wireState{s.Mode, s.Size, s.SHA256}
}

type contentArgs struct {
	Path []byte
	Base bool
}

// layerHandlers offer a live session's layer to a review in another process.
func (s *live) layerHandlers() map[string]session.Handler {
	return map[string]session.Handler{
		"layer.changes": func(ctx context.Context, _ json.RawMessage, _ []*os.File) (any, error) {
			changes, err := s.staging.Changes(ctx)
			out := []wireChange{}
			for _, c := range changes {
				out = append(out, wireChange{[]byte(c.Path), []byte(c.RenamedFrom), toWire(c.Base), toWire(c.Staged), c.Ignored, c.Commit})
			}
			return out, err
		},
		"layer.content": func(ctx context.Context, raw json.RawMessage, _ []*os.File) (any, error) {
			var args contentArgs
			if err := json.Unmarshal(raw, &args); err != nil {
				return nil, err
			}
			return s.content(ctx, string(args.Path), args.Base)
		},
		"layer.applied": func(_ context.Context, raw json.RawMessage, _ []*os.File) (any, error) {
			var paths [][]byte
			if err := json.Unmarshal(raw, &paths); err != nil {
				return nil, err
			}
			return true, s.staging.MarkApplied(stringsOf(paths)...)
		},
		"layer.takeover": func(ctx context.Context, raw json.RawMessage, _ []*os.File) (any, error) {
			var commit string
			if err := json.Unmarshal(raw, &commit); err != nil {
				return nil, err
			}
			return true, heldLayer{s.staging}.TakeOver(ctx, commit)
		},
	}
}

func (s *live) content(ctx context.Context, path string, base bool) ([]byte, error) {
	if base {
		return s.staging.BaseBytes(path)
	}
	changes, err := s.staging.Changes(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range changes {
		if c.Path == path && c.Staged != nil {
			r, err := c.Staged.Open()
			if err != nil {
				return nil, err
			}
			defer r.Close()
			return io.ReadAll(io.LimitReader(r, 40<<20))
		}
	}
	return nil, &countersign.Error{Code: countersign.ENotFound, Op: "read the staged", Thing: path}
}

func stringsOf(bs [][]byte) []string {
	out := make([]string, len(bs))
	for i, b := range bs {
		out[i] = string(b)
	}
	return out
}

// remoteLayer asks the live session that holds the layer.
type remoteLayer struct {
	ctx    context.Context
	socket string
}

func (l remoteLayer) Changes(ctx context.Context) ([]tree.Change, error) {
	var wire []wireChange
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

func (l remoteLayer) state(s *wireState, w wireChange, base bool) *tree.State {
	if s == nil {
		return nil
	}
	path := w.Path
	if base && len(w.RenamedFrom) > 0 {
		path = w.RenamedFrom
	}
	return &tree.State{Mode: s.Mode, Size: s.Size, SHA256: s.SHA256, Open: func() (io.ReadCloser, error) {
		var b []byte
		err := session.Ask(l.ctx, l.socket, "layer.content", contentArgs{path, base}, &b)
		return io.NopCloser(bytes.NewReader(b)), err
	}}
}

func (l remoteLayer) BaseBytes(rel string) ([]byte, error) {
	var b []byte
	err := session.Ask(l.ctx, l.socket, "layer.content", contentArgs{[]byte(rel), true}, &b)
	return b, err
}

func (l remoteLayer) MarkApplied(paths ...string) error {
	var bs [][]byte
	for _, p := range paths {
		bs = append(bs, []byte(p))
	}
	return session.Ask(l.ctx, l.socket, "layer.applied", bs, nil)
}

func (remoteLayer) Close() error { return nil }

func (l remoteLayer) TakeOver(ctx context.Context, commit string) error {
	return session.Ask(ctx, l.socket, "layer.takeover", commit, nil)
}
