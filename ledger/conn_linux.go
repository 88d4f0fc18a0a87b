package ledger

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const sendFlags = unix.MSG_NOSIGNAL

// peerUID is the user at the other end, as the kernel knows it.
func (c *rawConn) peerUID() (int, error) {
	cred, err := unix.GetsockoptUcred(c.fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return -1, err
	}
	return int(cred.Uid), nil
}

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
