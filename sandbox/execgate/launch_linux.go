//go:build amd64 || arm64

package execgate

import (
	"slices"
	"strings"
	"sync"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/interp"
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
	self  []string // what ran at each step, by the hash of its content
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

// again reports whether an exec starts the agent once more: a copy under
// another name is the same program.
func (l *launch) again(e *countersign.Exec, loaded []string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.self, content(e, loaded))
}

// content is the hash of what runs: the program, or the script that a known
// interpreter is given. It is empty where there is none: `bash -c` is no agent.
func content(e *countersign.Exec, loaded []string) string {
	if len(e.Interp) > 0 || !interp.Parse(e.Exe.Path, loaded).Known {
		return e.Exe.SHA256
	}
	if n := len(e.Scripts); n > 0 {
		return e.Scripts[n-1].SHA256
	}
	return ""
}

// done takes note that a step of the launch runs. One that covers what it starts
// is a person's shell and no agent.
func (l *launch) done(pid int, id uint64, e *countersign.Exec, loaded []string, covers bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := content(e, loaded); c != "" && !covers {
		l.self = append(l.self, c)
	}
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
