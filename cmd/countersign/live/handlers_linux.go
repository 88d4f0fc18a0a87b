//go:build amd64 || arm64

package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/cmd/countersign/reviewing"
	"github.com/countersign/countersign/gate"
	"github.com/countersign/countersign/gateway/budget"
	"github.com/countersign/countersign/session"
	"github.com/countersign/countersign/tui/card"
	"github.com/countersign/countersign/workspace/tree"
)

// handlers answer other terminals.
func (s *live) handlers() map[string]session.Handler {
	h := deskHandlers(s.gate, s.Now)
	h["status"] = func(context.Context, json.RawMessage, []*os.File) (any, error) { return s.status(), nil }
	h["stop"] = func(_ context.Context, raw json.RawMessage, _ []*os.File) (any, error) {
		var by string
		if err := json.Unmarshal(raw, &by); err != nil {
			return nil, err
		}
		s.mu.Lock()
		s.stopped = by
		s.mu.Unlock()
		s.end(fmt.Errorf("stopped by %s", by))
		return true, nil
	}
	h["shell"] = s.shellHandler
	h["card"] = show(s.desk, card.Card{Agent: s.opt.Agent, Weak: s.posture.Weak(), Unwrap: s.profile.Unwrap})
	maps.Copy(h, s.layerHandlers())
	return h
}

func (s *live) status() Status {
	out := Status{
		Session: s.id, Agent: s.opt.Agent, Project: s.project.Root, Backend: s.kept.Backend, Posture: s.posture,
		Policy: s.policy.Bundle(), Preset: s.policy.Preset(), Waiting: len(s.desk.Open(s.id)), Processes: []Process{}, Notes: reviewing.Notes(s.staging.Notes()),
	}
	if s.budgets != nil {
		// What cannot be read now refuses calls, and says so there.
		out.Budgets, _ = s.budgets.Left(budget.Who{Session: s.id, Project: s.project.Root, User: base.Who()})
	}
	for _, p := range s.sup.Covered() {
		out.Processes = append(out.Processes, Process{PID: p.PID, Summary: gate.Summary(p.Action), Covered: p.Covered})
	}
	return out
}

// all is a handler of a list.
func all[T any](f func(list []T) (any, error)) session.Handler {
	return func(_ context.Context, raw json.RawMessage, _ []*os.File) (any, error) {
		var list []T
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, err
		}
		return f(list)
	}
}

// layerHandlers offer a live session's layer to a review in another process.
func (s *live) layerHandlers() map[string]session.Handler {
	return map[string]session.Handler{
		"layer.changes": func(ctx context.Context, _ json.RawMessage, _ []*os.File) (any, error) {
			changes, err := s.changed(ctx)
			out := []reviewing.WireChange{}
			for _, c := range changes {
				out = append(out, reviewing.ToWireChange(c))
			}
			return out, err
		},
		"layer.content": func(ctx context.Context, raw json.RawMessage, _ []*os.File) (any, error) {
			var args reviewing.ContentArgs
			if err := json.Unmarshal(raw, &args); err != nil {
				return nil, err
			}
			return s.content(ctx, args)
		},
		"layer.applied": func(_ context.Context, raw json.RawMessage, _ []*os.File) (any, error) {
			var paths [][]byte
			if err := json.Unmarshal(raw, &paths); err != nil {
				return nil, err
			}
			return true, s.staging.MarkApplied(stringsOf(paths)...)
		},
		"layer.land":   all(func(list []tree.Landing) (any, error) { return s.staging.Land(list) }),
		"layer.return": all(func(list []tree.Landing) (any, error) { return true, s.staging.Return(list) }),
		"layer.move":   all(func(list []tree.Place) (any, error) { return true, s.staging.Move(list) }),
		"layer.kept": func(ctx context.Context, _ json.RawMessage, _ []*os.File) (any, error) {
			return reviewing.Held{Staging: s.staging}.Kept(ctx)
		},
		"layer.takeover": func(ctx context.Context, raw json.RawMessage, _ []*os.File) (any, error) {
			var args reviewing.TakeArgs
			if err := json.Unmarshal(raw, &args); err != nil {
				return nil, err
			}
			return reviewing.Held{Staging: s.staging}.TakeOver(ctx, args)
		},
		"layer.giveback": func(ctx context.Context, raw json.RawMessage, _ []*os.File) (any, error) {
			var args reviewing.GiveArgs
			if err := json.Unmarshal(raw, &args); err != nil {
				return nil, err
			}
			return true, reviewing.Held{Staging: s.staging}.GiveBack(ctx, args)
		},
	}
}

func (s *live) content(ctx context.Context, args reviewing.ContentArgs) ([]byte, error) {
	path := string(args.Path)
	if args.Base {
		return s.staging.BaseBytes(path)
	}
	look := func() *tree.State {
		s.mu.Lock()
		defer s.mu.Unlock()
		if args.Step != "" {
			return s.steps[args.Step]
		}
		return s.staged[path]
	}
	st := look()
	if st == nil { // not of the changes that were asked for last
		if _, err := s.changed(ctx); err != nil {
			return nil, err
		}
		st = look()
	}
	if st == nil {
		return nil, &countersign.Error{Code: countersign.ENotFound, Op: "read the staged", Thing: path}
	}
	r, err := st.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, 40<<20))
}

// changed looks for changes and keeps where their bytes are: a review asks for
// them one by one.
func (s *live) changed(ctx context.Context) ([]tree.Change, error) {
	changes, err := s.staging.Changes(ctx)
	staged := make(map[string]*tree.State, len(changes))
	steps := map[string]*tree.State{} // by SHA-256
	for _, c := range changes {
		if c.Aside != nil {
			c.Steps = []tree.Step{{Base: c.Base, Staged: c.Staged}}
		} else {
			staged[c.Path] = c.Staged
		}
		for _, step := range c.Steps {
			for _, st := range []*tree.State{step.Base, step.Staged} {
				if st != nil {
					steps[st.SHA256] = st
				}
			}
		}
	}
	s.mu.Lock()
	s.staged, s.steps = staged, steps
	s.mu.Unlock()
	return changes, err
}

func stringsOf(bs [][]byte) []string {
	out := make([]string, len(bs))
	for i, b := range bs {
		out[i] = string(b)
	}
	return out
}

// shellHandler starts the person's shell beside the agent.
func (s *live) shellHandler(ctx context.Context, raw json.RawMessage, files []*os.File) (any, error) {
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	var args ShellArgs
	if err := json.Unmarshal(raw, &args); err != nil {
		return nil, err
	}
	if len(files) != 3 || len(args.Argv) == 0 {
		return nil, &countersign.Error{Code: countersign.EUsage, Op: "open a shell", Err: errors.New("it needs a command and three descriptors")}
	}
	return s.spawnOwn(ctx, args, files)
}
