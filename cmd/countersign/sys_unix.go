//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// detach gives the process a session of its own, so that no terminal's end and
// no interrupt reaches it.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// ownGroup gives the process a group of its own: the terminal's signals do not
// reach it.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

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
