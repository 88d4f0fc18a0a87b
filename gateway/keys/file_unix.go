//go:build !windows

package keys

import (
	"os"
	"syscall"
)

const nonblock = syscall.O_NONBLOCK

// foreign reports a file of another user; root's are trusted, as root is.
func foreign(fi os.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && st.Uid != 0 && int(st.Uid) != os.Geteuid()
}

// opens reports a file that others may read. A sealed credential of systemd
// (systemd.exec(5), LoadCredential=) is root's, with the service's user in its
// access list, which shows in the group's bits.
func opens(fi os.FileInfo) bool {
	bits := os.FileMode(0o077)
	if st, ok := fi.Sys().(*syscall.Stat_t); ok && st.Uid == 0 && st.Gid == 0 {
		bits = 0o037
	}
	return fi.Mode().Perm()&bits != 0
}
