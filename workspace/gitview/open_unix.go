//go:build unix

package gitview

import "golang.org/x/sys/unix"

// nonblock keeps the open of a named pipe from waiting.
const nonblock = unix.O_NONBLOCK
