package stage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/workspace/gitview"
	"github.com/countersign/countersign/workspace/tree"
)

// TestMain is also the helper that mounts what a staging asks for, in a user and
// mount namespace of its own, and runs a command there.
func TestMain(m *testing.M) {
	if spec := os.Getenv("STAGE_TEST_MOUNTS"); spec != "" {
		os.Unsetenv("STAGE_TEST_MOUNTS")
		fmt.Fprintln(os.Stderr, mountAndExec(spec))
		os.Exit(99)
	}
	os.Exit(m.Run())
}

func mountAndExec(spec string) error {
	var mounts []countersign.Mount
	if err := json.Unmarshal([]byte(spec), &mounts); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	for _, m := range mounts {
		if err := mountOne(m); err != nil {
			return fmt.Errorf("mount %+v: %w", m, err)
		}
	}
	if err := os.Chdir(os.Args[1]); err != nil {
		return err
	}
	return syscall.Exec("/bin/bash", []string{"bash", "-c", os.Args[2]}, os.Environ())
}

func mountOne(m countersign.Mount) error {
	if m.Type == "overlay" {
		return unix.Mount("overlay", m.Target, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,userxattr", strings.Join(m.Lower, ":"), m.Upper, m.Work))
	}
	if err := unix.Mount(m.Source, m.Target, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if m.RO {
		return unix.Mount("", m.Target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "")
	}
	return nil
}

// inside runs a shell command in the view.
func inside(t testing.TB, s *Staging, script string) (string, error) {
	t.Helper()
	return insideAt(t, s.Mounts(), s.opts.Project.Root, script)
}

func insideAt(t testing.TB, mounts []countersign.Mount, dir, script string) (string, error) {
	t.Helper()
	b, err := json.Marshal(mounts)
	must(t, err)
	cmd := exec.Command("/proc/self/exe", dir, script)
	cmd.Env = []string{"STAGE_TEST_MOUNTS=" + string(b), "PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@x", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@x"}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_DAC_OVERRIDE, unix.CAP_CHOWN, unix.CAP_FOWNER},
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return out.String(), err
}

func mustInside(t testing.TB, s *Staging, script string) string {
	t.Helper()
	out, err := inside(t, s, "set -e; "+script)
	if err != nil {
		t.Fatalf("inside %q: %v\n%s", script, err, out)
	}
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sh runs a command on the host, as the person would.
func sh(t testing.TB, dir, script string) string {
	t.Helper()
	cmd := exec.Command("bash", "-ec", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=p", "GIT_AUTHOR_EMAIL=p@x", "GIT_COMMITTER_NAME=p", "GIT_COMMITTER_EMAIL=p@x", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_ALLOW_PROTOCOL=file")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

func denyEnv(rel string) (string, bool) {
	base := filepath.Base(rel)
	return "test-env", base == ".env" || base == ".aws" || strings.HasSuffix(base, ".pem")
}

// project makes a repository with a tracked secret that is in history too.
func project(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "proj")
	must(t, os.Mkdir(dir, 0o755))
	sh(t, dir, `git init -q -b main . ; mkdir -p src lib
		echo 'package a' > src/a.go; echo 'package b' > src/b.go; echo one > lib/one.txt; ln -s ../src/a.go lib/link
		printf 'node_modules/\n*.log\n.vscode/\n' > .gitignore; echo SECRET=old > .env
		git add -A; git commit -qm first
		echo SECRET=hunter2 > .env; printf '#!/bin/sh\necho hi\n' > run.sh; chmod +x run.sh
		git add -A; git commit -qm second; echo x > a.log`)
	return dir
}

type env struct {
	root, state string
	n           int
}

func newEnv(t testing.TB, root string) *env { return &env{root: root, state: t.TempDir()} }

func (e *env) start(t testing.TB, change func(*Options)) *Staging {
	t.Helper()
	p, err := gitview.Find(e.root)
	must(t, err)
	e.n++
	o := Options{Project: p, StateDir: e.state, SessionDir: filepath.Join(e.state, "sessions", fmt.Sprint("s", e.n)), Denied: denyEnv, SmallFiles: 50}
	if change != nil {
		change(&o)
	}
	s, err := New(context.Background(), o)
	must(t, err)
	t.Cleanup(s.release)
	return s
}

// show makes a short text of changes.
func show(list []tree.Change) string {
	var b strings.Builder
	for _, c := range list {
		if !c.Differs() {
			continue // a commit changed it back
		}
		op := "M"
		switch {
		case c.RenamedFrom != "":
			op = "R " + c.RenamedFrom + " ->"
		case c.Base == nil:
			op = "A"
		case c.Staged == nil:
			op = "D"
		}
		if c.Ignored {
			op = "I" + op
		}
		fmt.Fprintf(&b, "%s %s\n", op, c.Path)
	}
	return b.String()
}

func changes(t testing.TB, s *Staging) string {
	t.Helper()
	list, err := s.Changes(context.Background())
	must(t, err)
	return show(list)
}

func sumHex(s string) string {
	b := sha256.Sum256([]byte(s))
	return hex.EncodeToString(b[:])
}

func sorted(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}
