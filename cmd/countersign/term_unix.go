//go:build unix

package main

import "golang.org/x/sys/unix"

// terminalSize is the size of the person's terminal, 24 by 80 where it has none.
func (s *live) terminalSize() (rows, cols uint16) {
	ws, err := unix.IoctlGetWinsize(int(s.in.Fd()), unix.TIOCGWINSZ)
	if err != nil || ws.Row == 0 || ws.Col == 0 {
		return 24, 80
	}
	return ws.Row, ws.Col
}
