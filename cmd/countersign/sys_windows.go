package main

import (
	"errors"
	"os"
	"os/exec"
)

func detach(*exec.Cmd) {}

func ownGroup(*exec.Cmd) {}

func lockHome(*string, string) (*os.File, error) {
	return nil, errors.New("no agent runs on this system")
}

func (s *live) terminalSize() (rows, cols uint16) { return 24, 80 }
