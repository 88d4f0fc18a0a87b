//go:build amd64 || arm64

package live

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// terminalSize is the size of the person's terminal, 24 by 80 where it has none.
func (s *live) terminalSize() (rows, cols uint16) {
	ws, err := unix.IoctlGetWinsize(int(s.In.Fd()), unix.TIOCGWINSZ)
	if err != nil || ws.Row == 0 || ws.Col == 0 {
		return 24, 80
	}
	return ws.Row, ws.Col
}

// lockHome takes an agent's private home for this session; if another session
// holds it, this one gets a home of its own beside it.
func lockHome(home *string, id string) (*os.File, error) {
	for _, dir := range []string{*home, *home + "-" + id} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			*home = dir
			return f, nil
		}
		f.Close()
	}
	return nil, unix.EWOULDBLOCK
}
