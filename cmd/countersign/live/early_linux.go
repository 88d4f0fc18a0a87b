//go:build amd64 || arm64

package live

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/gate"
	"github.com/countersign/countersign/gateway/early"
	"github.com/countersign/countersign/gateway/wire"
	"github.com/countersign/countersign/internal/execfile"
)

// asker asks about the commands of tools that the agent does not wait for; nil for
// an agent that has none.
func (s *live) asker() *early.Asker {
	if len(s.profile.Early) == 0 || s.opt.Approver == "none" {
		return nil
	}
	programs := execfile.NewCache(s.Now)
	return &early.Asker{
		Wants: func(tool string) (time.Duration, bool) {
			e, ok := s.profile.EarlyOf(tool)
			return e.Wait, ok
		},
		Ask: func(ctx context.Context, c wire.Call) {
			e, _ := s.profile.EarlyOf(c.Name)
			var all sync.WaitGroup
			for _, call := range e.Calls(c.Input) {
				exe, hops, ok := program(programs, call.Argv[0])
				if ok {
					all.Go(func() {
						s.gate.Early(ctx, gate.Command{Argv: call.Argv, Cwd: call.Cwd, Exe: exe, Hops: hops})
					})
				}
			}
			all.Wait()
		},
	}
}

// program is a system's program as a session sees it: its file is the host's. Should
// it be another there, the command is asked about when it is tried.
func program(known *execfile.Cache, path string) (x countersign.Executable, hops []string, ok bool) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return x, nil, false
	}
	fd, err := unix.Open(real, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return x, nil, false
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return x, nil, false
	}
	c, errno := known.Of(fd, &st, false)
	if errno != 0 {
		return x, nil, false
	}
	return countersign.Executable{Path: real, Dev: uint64(st.Dev), Ino: st.Ino, SHA256: c.Hash}, slices.Compact([]string{path, real}), true
}
