//go:build unix

package host

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/countersign/countersign/internal/lazyre"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// cursorTime is how long a terminal has to say where its cursor stands; one
// that does not is taken to be at the top left.
const cursorTime = 300 * time.Millisecond

var position = lazyre.Compile(`\x1b\[(\d{1,4});(\d{1,4})R`)

// Cursor asks the terminal where its cursor stands (DSR 6, ECMA-48), so that
// what the agent writes is remembered at the place where it appears. What was
// typed meanwhile is returned as early, for Options.Early. It is to be called
// before Run; row and col count from 1 and are 0 if the terminal does not say.
func Cursor(in, out *os.File) (row, col int, early []byte, err error) {
	was, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return 0, 0, nil, fmt.Errorf("ask the terminal: %w", err)
	}
	defer term.Restore(int(in.Fd()), was) //nolint:errcheck // Run sets it anew and says so
	if _, err := out.WriteString("\x1b[6n"); err != nil {
		return 0, 0, nil, fmt.Errorf("ask the terminal: %w", err)
	}
	var got []byte
	for end := time.Now().Add(cursorTime); ; {
		if m := position().FindSubmatchIndex(got); m != nil {
			row, _ = strconv.Atoi(string(got[m[2]:m[3]]))
			col, _ = strconv.Atoi(string(got[m[4]:m[5]]))
			return row, col, append(bytes.Clone(got[:m[0]]), got[m[1]:]...), nil
		}
		left := time.Until(end)
		if left <= 0 || len(got) > 4096 {
			return 0, 0, got, nil
		}
		fds := []unix.PollFd{{Fd: int32(in.Fd()), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, int(left.Milliseconds())+1); err == nil && n > 0 {
			buf := make([]byte, 1024)
			n, err := unix.Read(int(in.Fd()), buf)
			if n <= 0 || err != nil {
				return 0, 0, got, nil
			}
			got = append(got, buf[:n]...)
		}
	}
}
