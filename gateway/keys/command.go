package keys

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// run returns the first line that the key command writes. Nothing else that it
// writes is repeated: it could hold the key.
func (s Store) run(ctx context.Context, ref Ref) (string, error) {
	name := filepath.Base(ref.Command[0])
	path, err := s.program(ref)
	if err != nil {
		return "", fmt.Errorf("the key command %s %w", name, err)
	}
	limit := s.limit()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var out head
	cmd := exec.CommandContext(ctx, path, ref.Command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.WaitDelay = ref.Dir, &out, time.Second
	alone(cmd)
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("the key command %s did not answer within %v", name, limit)
	case errors.Is(err, exec.ErrWaitDelay): // a daemon that it left holds its output
	case errors.As(err, &exit):
		return "", fmt.Errorf("the key command %s ended with %s", name, exit.ProcessState)
	case err != nil:
		return "", fmt.Errorf("the key command %s cannot be started", name)
	}
	if out.more {
		return "", fmt.Errorf("the key command %s wrote more than a key", name)
	}
	line, _, _ := strings.Cut(strings.TrimLeft(string(out.kept), "\r\n"), "\n")
	return line, nil
}

func (s Store) limit() time.Duration {
	if s.Limit > 0 {
		return s.Limit
	}
	return Limit
}

// program finds the command where no agent can have put it: by an absolute
// path, beside gateway.yaml, or in an absolute directory of PATH.
func (s Store) program(ref Ref) (string, error) {
	p := ref.Command[0]
	switch {
	case filepath.IsAbs(p):
	case strings.ContainsAny(p, `/\`):
		p = filepath.Join(ref.Dir, p)
	default:
		found, err := exec.LookPath(p)
		if err != nil {
			return "", errors.New("is not on PATH")
		}
		p = found
	}
	real, err := filepath.EvalSymlinks(p)
	if err != nil {
		return "", errors.New("is not there")
	}
	if s.avoided(p, real) {
		return "", errors.New("lies in the project, where an agent's work lands: keep it elsewhere")
	}
	return p, nil
}

// avoided reports whether one of the paths lies where an agent's work lands.
func (s Store) avoided(paths ...string) bool {
	for _, dir := range s.Avoid {
		if d, err := filepath.EvalSymlinks(dir); err == nil {
			dir = d
		}
		for _, at := range paths {
			if rel, err := filepath.Rel(dir, at); err == nil && filepath.IsLocal(rel) {
				return true
			}
		}
	}
	return false
}

// head keeps the beginning of what is written to it. It is no bytes.Buffer,
// whose ReadFrom would take everything.
type head struct {
	kept []byte
	more bool
}

func (h *head) Write(b []byte) (int, error) {
	room := maxKey - len(h.kept)
	h.more = h.more || len(b) > room
	h.kept = append(h.kept, b[:min(len(b), room)]...)
	return len(b), nil
}
