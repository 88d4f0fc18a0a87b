package ledger

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// bootClock counts from the machine's start, through sleep, and cannot be set.
func bootClock() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// bootID names this run of the kernel.
func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // optional in a record
	return strings.TrimSpace(string(b))
}
