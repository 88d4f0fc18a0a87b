//go:build amd64 || arm64

package live

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/countersign/countersign/cmd/countersign/base"
)

// noGuard is the guard of a terminal that could not be guarded.
type noGuard struct{ io.Writer }

// startGuard starts the process that makes the terminal sane if this one is
// killed. Without it a kill -9 would leave the agent's screen; so it is said
// and not fatal.
func (s *live) startGuard(tty *os.File) io.WriteCloser {
	pipe, err := guard(s.In, tty)
	if err != nil {
		s.log.Warn("the terminal is not guarded against a kill", "err", err)
		return noGuard{io.Discard}
	}
	return pipe
}

func guard(in, tty *os.File) (io.WriteCloser, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd := exec.Command(self, "__guard")
	cmd.Stdin, cmd.ExtraFiles = in, []*os.File{r}
	base.OwnGroup(cmd)
	ready, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = bufio.NewReader(ready).ReadString('\n')
	}
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	go cmd.Wait()
	return w, nil
}

func (noGuard) Close() error { return nil }
