//go:build amd64 || arm64

package selftest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

func execAttempts() map[string]attempt {
	return map[string]attempt{
		"exec":     done(func(a []string) error { return exec.Command(a[0], a[1:]...).Run() }),
		"run":      run,
		"execcopy": done(execCopy),
		"execlink": done(func(a []string) error {
			if err := os.Symlink(a[0], a[1]); err != nil {
				return fmt.Errorf("%w: %w", errUnmade, err)
			}
			return exec.Command(a[1]).Run()
		}),
		"execself":   done(func([]string) error { return exec.Command("/proc/self/exe", Command, nothing, "").Run() }),
		"execfd":     done(func(a []string) error { return execDescriptor(a[0]) }),
		"execmem":    done(func([]string) error { return execMemory() }),
		"execloader": done(func([]string) error { return execLoader() }),
		"pipeshell":  done(pipeShell),
		"execenv": func(a []string) ([]byte, error) {
			cmd := exec.Command(a[1], a[2:]...)
			cmd.Env = append(os.Environ(), a[0])
			return cmd.Output()
		},
	}
}

// run runs a command that was approved for the row.
func run(a []string) ([]byte, error) {
	out, err := exec.Command(a[0], a[1:]...).CombinedOutput()
	if exit := (*exec.ExitError)(nil); err == nil || errors.As(err, &exit) {
		return out, errMarked
	}
	return out, fmt.Errorf("%w: %w", errUnmade, err)
}

func execCopy(a []string) error {
	b, err := os.ReadFile(a[0])
	if err == nil {
		err = os.MkdirAll(filepath.Dir(a[1]), 0o700)
	}
	if err == nil {
		err = os.WriteFile(a[1], b, 0o700) //nolint:gosec // it is a program
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errUnmade, err)
	}
	defer os.Remove(a[1])
	return exec.Command(a[1]).Run()
}

// execDescriptor has this process become a descriptor's program, by execveat. It
// returns only where that was refused: else the program's end is the row's.
func execDescriptor(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnmade, err)
	}
	return become(fd)
}

func execMemory() error {
	fd, err := unix.MemfdCreate("x", 0)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnmade, err)
	}
	if _, err := unix.Write(fd, []byte("#!/bin/sh\nexit 0\n")); err != nil {
		return fmt.Errorf("%w: %w", errUnmade, err)
	}
	return become(fd)
}

// become runs a descriptor's program in a process of its own, by the path that
// makes execve take the descriptor itself.
func become(fd int) error {
	f := os.NewFile(uintptr(fd), "program")
	cmd := exec.Command("/proc/self/fd/3")
	cmd.ExtraFiles = []*os.File{f}
	defer runtime.KeepAlive(f)
	return cmd.Run()
}

// execLoader has the dynamic loader map a program and run it.
func execLoader() error {
	for _, loader := range []string{"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-aarch64.so.1"} {
		if _, err := os.Stat(loader); !errors.Is(err, fs.ErrNotExist) {
			return exec.Command(loader, "/bin/sh", "-c", "exit 0").Run()
		}
	}
	return errUnmade
}

// pipeShell feeds a shell that was approved a program that was not.
func pipeShell(a []string) error {
	cmd := exec.Command(a[0])
	cmd.Stdin = strings.NewReader(a[len(a)-1] + "\nexit $?\n")
	return cmd.Run()
}
