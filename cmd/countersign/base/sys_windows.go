package base

import "os/exec"

// Detach does nothing here: no helper process is started on this system.
func Detach(*exec.Cmd) {}

// OwnGroup does nothing here.
func OwnGroup(*exec.Cmd) {}
