package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/countersign/countersign"
)

// relative makes a path argument one of the project, or leaves it absolute.
func (a *app) relative(path string) string {
	if strings.HasPrefix(path, "~/") || path == "~" {
		return path
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(a.ProjectRoot(), abs); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
		return filepath.ToSlash(rel)
	}
	return abs
}

// execFacts describes a command as the supervisor would see it, for explain.
func (a *app) execFacts(argv []string) *countersign.Exec {
	cwd, _ := os.Getwd()
	e := &countersign.Exec{Argv: argv, Cwd: cwd, Invoked: argv[0], Exe: countersign.Executable{Path: argv[0]}}
	path, err := exec.LookPath(argv[0])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return e
	}
	if path, err = filepath.Abs(path); err != nil {
		return e
	}
	e.Invoked, e.Hops = path, []string{path}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		e.Exe.Path = real
		if real != path {
			e.Hops = append(e.Hops, real)
		}
	}
	root := a.ProjectRoot()
	for _, hop := range e.Hops {
		if strings.HasPrefix(hop, root+"/") || strings.HasPrefix(hop, a.Getenv("HOME")+"/") || strings.HasPrefix(hop, "/tmp/") {
			e.Writable = true
		}
	}
	return e
}

// removeTree removes a session's directory, whose files an agent may have made
// unreadable.
func removeTree(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			os.Chmod(path, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}
