//go:build amd64 || arm64

package selftest

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// attempt tries something. What it returns without an error, or with errMarked, was
// let go.
type attempt func(a []string) ([]byte, error)

// attempts are by name what a row's Try says.
func attempts() map[string]attempt {
	all := map[string]attempt{}
	for _, m := range []map[string]attempt{readAttempts(), nameAttempts(), writeAttempts(), execAttempts(), processAttempts(), kernelAttempts(), socketAttempts(), networkAttempts()} {
		maps.Copy(all, m)
	}
	return all
}

// done is an attempt that yields nothing but its success.
func done(f func(a []string) error) attempt {
	return func(a []string) ([]byte, error) { return nil, f(a) }
}

func readAttempts() map[string]attempt {
	return map[string]attempt{
		"read":   func(a []string) ([]byte, error) { return readSome(a[0]) },
		"open":   legacyOpen,
		"thrice": thrice,
		"openat2": func(a []string) ([]byte, error) {
			return drain(unix.Openat2(unix.AT_FDCWD, a[0], &unix.OpenHow{Flags: unix.O_RDONLY}))
		},
		"reopen": func(a []string) ([]byte, error) {
			fd, err := unix.Open(a[0], unix.O_PATH, 0)
			if err != nil {
				return nil, err
			}
			return readSome(fmt.Sprintf("/proc/self/fd/%d", fd))
		},
		"openat": func(a []string) ([]byte, error) {
			dir, err := unix.Open(a[0], unix.O_RDONLY|unix.O_DIRECTORY, 0)
			if err != nil {
				return nil, err
			}
			return drain(unix.Openat(dir, a[1], unix.O_RDONLY, 0))
		},
		"mmap":      mapped,
		"sendfile":  func(a []string) ([]byte, error) { return copied(a, sendfile) },
		"copyrange": func(a []string) ([]byte, error) { return copied(a, copyRange) },
		"splice":    spliced,
		"vialink": func(a []string) ([]byte, error) {
			return afterwards(os.Symlink(a[0], a[1]), a[1])
		},
		"vialinks": func(a []string) ([]byte, error) {
			if err := os.Symlink(a[0], a[1]+"-1"); err != nil {
				return nil, err
			}
			return afterwards(os.Symlink(a[1]+"-1", a[1]), a[1])
		},
		"readmoved": func(a []string) ([]byte, error) {
			err := os.Rename(a[0], a[1])
			if errors.Is(err, unix.EXDEV) { // as an overlay says: mv copies then
				return readSome(filepath.Join(a[0], a[2]))
			}
			return afterwards(err, filepath.Join(a[1], a[2]))
		},
		"list": done(func(a []string) error { _, err := os.ReadDir(a[0]); return err }),
		"marked": done(func(a []string) error {
			b, err := readSome(a[0])
			if err == nil && !bytes.Contains(b, []byte(a[1])) {
				return errNot
			}
			return err
		}),
		"objects": func(a []string) ([]byte, error) { return inflated(a[0]) },
		"environ": func([]string) ([]byte, error) { return []byte(strings.Join(os.Environ(), "\n")), errMarked },
	}
}

// readSome reads the beginning of a file; one that holds nothing was not read.
func readSome(path string) ([]byte, error) {
	return drain(unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0))
}

func drain(fd int, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	b := make([]byte, 4096)
	n, err := unix.Read(fd, b)
	if err == nil && n == 0 {
		err = errNot
	}
	return b[:max(n, 0)], err
}

func afterwards(err error, path string) ([]byte, error) {
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnmade, err)
	}
	return readSome(path)
}

func thrice(a []string) (b []byte, err error) {
	for range 3 {
		if b, err = readSome(a[0]); err == nil {
			return b, nil
		}
	}
	return nil, err
}

func mapped(a []string) ([]byte, error) {
	fd, err := unix.Open(a[0], unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	m, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	return bytes.Clone(bytes.TrimRight(m, "\x00")), nil
}

func sendfile(to, from int) (int, error) { return unix.Sendfile(to, from, nil, 4096) }
func copyRange(to, from int) (int, error) {
	return unix.CopyFileRange(from, nil, to, nil, 4096, 0)
}

// copied has the kernel copy a file, and reads the copy.
func copied(a []string, move func(to, from int) (int, error)) ([]byte, error) {
	from, err := unix.Open(a[0], unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	to, err := unix.Open(a[1], unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := move(to, from); err != nil {
		return nil, err
	}
	return readSome(a[1])
}

func spliced(a []string) ([]byte, error) {
	from, err := unix.Open(a[0], unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	var p [2]int
	if err := unix.Pipe(p[:]); err != nil {
		return nil, err
	}
	if _, err := unix.Splice(from, nil, p[1], nil, 4096, 0); err != nil {
		return nil, err
	}
	return drain(p[0], nil)
}

// inflated is the content of every loose object below a directory, until a canary's
// shape is met.
func inflated(dir string) (out []byte, err error) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !strings.Contains(path, "/objects/") {
			return nil //nolint:nilerr // what does not open is refused
		}
		f, err := os.Open(path)
		if err != nil {
			return nil //nolint:nilerr // the same
		}
		defer f.Close()
		if z, err := zlib.NewReader(f); err == nil {
			b, _ := io.ReadAll(io.LimitReader(z, 4096))
			out = append(out, b...)
		}
		return nil
	})
	return out, errMarked
}
