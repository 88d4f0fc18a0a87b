//go:build amd64 || arm64

package selftest

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func nameAttempts() map[string]attempt {
	return map[string]attempt{
		"hardlink":   done(func(a []string) error { return unix.Link(a[0], a[1]) }),
		"linkfd":     done(linkDescriptor),
		"linkmade":   done(func(a []string) error { return made(a[0], func() error { return unix.Link(a[0], a[1]) }) }),
		"rename":     done(func(a []string) error { return unix.Rename(a[0], a[1]) }),
		"renameover": done(func(a []string) error { return made(a[0], func() error { return unix.Rename(a[0], a[1]) }) }),
		"plant":      done(plantConfig),
		"exchange": done(func(a []string) error {
			return unix.Renameat2(unix.AT_FDCWD, a[0], unix.AT_FDCWD, a[1], unix.RENAME_EXCHANGE)
		}),
		"unlink": done(func(a []string) error { return unix.Unlink(a[0]) }),
	}
}

func writeAttempts() map[string]attempt {
	return map[string]attempt{
		"truncate": done(func(a []string) error { return unix.Truncate(a[0], 0) }),
		"append":   done(func(a []string) error { return write(a[0], unix.O_APPEND, "\n") }),
		"create":   done(func(a []string) error { return write(a[0], unix.O_CREAT|unix.O_EXCL, "#!/bin/sh\n") }),
		"chmod":    done(func(a []string) error { return unix.Chmod(a[0], 0o644) }),
		"utimes": done(func(a []string) error {
			return os.Chtimes(a[0], time.Unix(1, 0), time.Unix(1, 0))
		}),
		"xattr":      done(func(a []string) error { return unix.Setxattr(a[0], "user.x", []byte("x"), 0) }),
		"openwrite":  done(func(a []string) error { return write(a[0], 0, "") }),
		"plant-file": done(func(a []string) error { return write(a[0]+"/countersign-planted", unix.O_CREAT|unix.O_EXCL, "x") }),
		"overwrite": func(a []string) ([]byte, error) {
			if err := write(a[0], unix.O_TRUNC, "overwritten\n"); err != nil {
				return nil, err
			}
			return nil, errMarked
		},
		"writelink": done(func(a []string) error {
			if err := os.Symlink(a[0], a[1]); err != nil {
				return fmt.Errorf("%w: %w", errUnmade, err)
			}
			return write(a[1], unix.O_APPEND, "\n")
		}),
	}
}

func write(path string, flags int, text string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC|flags, 0o700)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if text == "" {
		return nil
	}
	_, err = unix.Write(fd, []byte(text))
	return err
}

// made makes a file of the attacker's own first.
func made(path string, then func() error) error {
	if err := write(path, unix.O_CREAT, "#!/bin/sh\n"); err != nil {
		return fmt.Errorf("%w: %w", errUnmade, err)
	}
	return then()
}

func linkDescriptor(a []string) error {
	fd, err := unix.Open(a[0], unix.O_PATH, 0)
	if err != nil {
		return err
	}
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, a[1], unix.AT_SYMLINK_FOLLOW)
}

// plantConfig moves a git configuration in place that has git start a program.
func plantConfig(a []string) error {
	if err := os.WriteFile(a[0], []byte("[core]\n\trepositoryformatversion = 0\n\tfsmonitor = false; touch planted\n"), 0o600); err != nil {
		return fmt.Errorf("%w: %w", errUnmade, err)
	}
	defer os.Remove(a[0])
	return unix.Rename(a[0], a[1])
}
