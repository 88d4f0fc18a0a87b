//go:build unix

package host

import (
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"
)

// lastResort resets what any agent may have set, without knowing what it was.
// DECSC and DECRC around the screen switch keep the cursor where none was up.
const lastResort = "\x1b[?2026l\x1b[?9;1000;1002;1003;1004;1005;1006;1015;1016;2004;2031;2048l" +
	"\x1b[?1;5;6;66;69l\x1b[<32u\x1b[>4;0m\x1b7\x1b[r\x1b[?1049l\x1b8\x1b[<32u\x1b[?7;25h\x1b[4l\x1b[20l\x1b>\x1b[0 q" + plainText

// Guard makes the terminal sane if the process that owns it dies without a
// chance to: it is to run in a process of its own and process group, with the
// terminal still in its usual settings. It writes a line to ready when it has
// taken them down: only then may Run start. It reads pipe to its end; unless
// the last line is "ok", it restores the settings and resets the terminal.
func Guard(pipe io.Reader, ready io.Writer, tty *os.File) error {
	signal.Ignore(syscall.SIGTTOU, syscall.SIGTSTP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGTERM)
	was, err := term.GetState(int(tty.Fd()))
	if err != nil {
		return err
	}
	if _, err := io.WriteString(ready, "ready\n"); err != nil {
		return err
	}
	said, err := io.ReadAll(pipe)
	if err == nil && strings.HasSuffix(string(said), "ok\n") {
		return nil
	}
	if err := term.Restore(int(tty.Fd()), was); err != nil {
		return err
	}
	_, err = tty.WriteString(lastResort + "\r\n")
	return err
}
