package sandbox

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign"
)

// TestBegun: between Begin and Finish a sandbox ends with its context or its Kill,
// and one that cannot be finished leaves nothing.
func TestBegun(t *testing.T) {
	missing := []countersign.Mount{{Type: "bind", Source: "/nowhere/at/all", Target: "/srv/project"}}
	for _, row := range []struct {
		name   string
		early  bool // before the view stands
		end    func(cancel context.CancelFunc, s *Sandbox)
		mounts []countersign.Mount
		says   string
	}{
		{"its context ends at once", true, func(cancel context.CancelFunc, _ *Sandbox) { cancel() }, nil, ""},
		{"its context ends later", false, func(cancel context.CancelFunc, _ *Sandbox) { cancel() }, nil, ""},
		{"it is killed at once", true, func(_ context.CancelFunc, s *Sandbox) { s.Kill() }, nil, ""},
		{"it is killed later", false, func(_ context.CancelFunc, s *Sandbox) { s.Kill() }, nil, ""},
		{"the project is not there", true, func(context.CancelFunc, *Sandbox) {}, missing, "/nowhere/at/all"},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := newGround(t)
			g.Argv = []string{"touch", filepath.Join(g.project, "ran")}
			if row.mounts != nil {
				g.Mounts = row.mounts
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s, err := Begin(ctx, g.Config)
			if err != nil {
				t.Fatal(err)
			}
			if !row.early {
				s.up <- <-s.up
			}
			row.end(cancel, s)
			if err := s.Finish(g.Config); err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("finished: %v", err)
			}
			select {
			case <-s.Ended():
			case <-time.After(20 * time.Second):
				t.Error("its helpers go on")
			}
			if _, err := os.Stat(filepath.Join(g.project, "ran")); err == nil {
				t.Error("the agent ran")
			}
		})
	}
}
