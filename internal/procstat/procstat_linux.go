// Package procstat reads what /proc/PID/stat says of a process (proc(5)), tells
// processes apart, and says who their children are. It opens files of /proc and
// pidfds, and nothing else.
package procstat

import (
	"bytes"
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ErrGone says that there is no such process, or none that can be seen.
var ErrGone = errors.New("the process is gone or hidden")

// Read returns parent, start time (clock ticks since boot) and exit code of a
// process. buf is scratch space; a kilobyte is enough.
func Read(pid int, buf []byte) (ppid int, start uint64, exit int, err error) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, 0, 0, ErrGone
	}
	n, err := unix.Read(fd, buf)
	unix.Close(fd)
	if err != nil || n <= 0 {
		return 0, 0, 0, ErrGone
	}
	return parse(buf[:n])
}

// parse skips the command's name, which may hold anything but ends with the
// last parenthesis.
func parse(b []byte) (ppid int, start uint64, exit int, err error) {
	i := bytes.LastIndexByte(b, ')')
	if i < 0 || i+2 > len(b) {
		return 0, 0, 0, ErrGone
	}
	field, rest := 2, b[i+1:]
	for len(rest) > 0 {
		rest = bytes.TrimLeft(rest, " ")
		word := rest
		if j := bytes.IndexAny(rest, " \n"); j >= 0 {
			word, rest = rest[:j], rest[j+1:]
		} else {
			rest = nil
		}
		field++
		switch field {
		case 4:
			ppid = int(number(word))
		case 22:
			start = number(word)
		case 52:
			exit = int(number(word))
		}
	}
	if field < 22 {
		return 0, 0, 0, ErrGone
	}
	return ppid, start, exit, nil
}

func number(b []byte) (n uint64) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}

func all() ([]string, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.Readdirnames(-1)
}
