//go:build unix

package base

import (
	"os/exec"
	"syscall"
)

// Detach gives the process a session of its own, so that no terminal's end and
// no interrupt reaches it.
func Detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// OwnGroup gives the process a group of its own: the terminal's signals do not
// reach it.
func OwnGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
