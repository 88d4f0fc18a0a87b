//go:build amd64 || arm64

package execgate

import (
	"slices"
	"strings"
	"sync"

	countersign "github.com/countersign/countersign"
)

// maxSteps bounds the launch chain: shims that start shims.
const maxSteps = 4

// launch knows which execs belong to the start of the agent: the command
// itself, and from there what the same process must run next in its own place.
type launch struct {
	mu    sync.Mutex
	spec  Launch
	first bool // the first exec has been seen
	pid   int
	id    uint64
	steps int
	next  []string // argv that must come, after `#!/usr/bin/env NAME`
	shim  bool     // a script of the toolchain runs: it may exec on with our arguments
}

func newLaunch(spec Launch) *launch { return &launch{spec: spec} }

// expects reports whether this exec is a step of the launch.
func (l *launch) expects(t *target, e *countersign.Exec, movable bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := !l.first
	l.first = true
	switch {
	case len(l.spec.Argv) == 0 || l.steps >= maxSteps:
		return false
	case first:
		return slices.Equal(e.Argv, l.spec.Argv) && (l.spec.Cwd == "" || l.spec.Cwd == e.Cwd)
	case t.tgid != l.pid || t.who.ID != l.id:
		return false
	case l.next != nil:
		return slices.Equal(e.Argv, l.next) && !movable
	case l.shim:
		rest := l.spec.Argv[1:]
		return !e.Writable && len(e.Argv) >= len(rest) && slices.Equal(e.Argv[len(e.Argv)-len(rest):], rest)
	}
	return false
}

// done takes note that a step of the launch runs.
func (l *launch) done(pid int, id uint64, e *countersign.Exec, loaded []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pid, l.id = pid, id
	l.steps++
	l.next, l.shim = nil, false
	if len(e.Interp) == 0 {
		return // a program: it is the agent
	}
	if strings.HasSuffix(e.Interp[len(e.Interp)-1].Path, "/env") {
		l.next = afterEnv(loaded)
		return
	}
	l.shim = !e.Writable
}

// afterEnv is what env runs, given its own argv; nil if it is more than a name.
func afterEnv(argv []string) []string {
	if len(argv) < 3 {
		return nil
	}
	if s, ok := strings.CutPrefix(argv[1], "-S"); ok {
		return append(strings.Fields(s), argv[2:]...)
	}
	if strings.HasPrefix(argv[1], "-") || strings.Contains(argv[1], "=") {
		return nil
	}
	return slices.Clone(argv[1:])
}
