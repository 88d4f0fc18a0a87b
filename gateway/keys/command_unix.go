//go:build !windows

package keys

import (
	"os/exec"
	"syscall"
)

// alone gives the command a session of its own: no terminal to ask or write on,
// and an end that reaches its children.
func alone(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
