package procstat

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// StatusField returns the last number of a line of /proc/PID/status.
func StatusField(pid int, name string) (int, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, unix.ESRCH
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			f := strings.Fields(rest)
			if len(f) == 0 {
				return 0, unix.ESRCH
			}
			return strconv.Atoi(f[len(f)-1])
		}
	}
	return 0, unix.ESRCH
}
