//go:build amd64 || arm64

package selftest

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// The test binary is the attacker too.
func TestMain(m *testing.M) {
	if code, handled := Main(os.Args[1:]); handled {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

const bareMarker = "canary-of-the-bare-run"

// TestBare: with no control in the way each attack works, or the row proves
// nothing. Those that cannot, or would do harm, say why.
func TestBare(t *testing.T) {
	worked := 0
	for _, r := range Table() {
		if r.Bare != "" {
			continue
		}
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			bare(t, r)
		})
		worked++
	}
	if worked < 100 {
		t.Errorf("%d rows have their control off, fewer than 100", worked)
	}
}

// TestBareOfAnOrdinaryUser is TestBare again where this one is root.
func TestBareOfAnOrdinaryUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("TestBare was it")
	}
	dir, err := os.MkdirTemp("/var/tmp", "cs-bare-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(dir+"/selftest.test", b, 0o755) //nolint:gosec // it is a program
	}
	if err == nil {
		err = os.Chmod(dir, 0o755) //nolint:gosec // for another user
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), dir+"/selftest.test", "-test.run", "^TestBare$")
	cmd.Dir, cmd.Env = "/", append(os.Environ(), "HOME=/nonexistent", "TMPDIR=/tmp")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func bare(t *testing.T, r Row) {
	if r.Needs == NeedAMD64 && runtime.GOARCH != "amd64" {
		t.Skip("not protected here: another architecture")
	}
	g := bareGround(t, r)
	v, err := NewVictims(g, bareMarker)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	state, config := filepath.Join(g.Root, "state"), filepath.Join(g.Root, "config")
	g.Args["state"], g.Args["runtime"], g.Args["config"], g.Args["token"], g.Args["environ"] = state, state, config, "selftest.test", "PATH="
	if err := g.Write(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{state + "/ledger/segments", state + "/sessions", config} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", state+"/ledger.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), rowTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, Words(r.Name, g.Spec())...)
	cmd.Dir, cmd.Env = g.Project(), append(os.Environ(), "HOME="+g.Home(), "SSH_AUTH_SOCK=/nowhere/"+bareMarker)
	out, err := cmd.CombinedOutput()
	var s Said
	if json.Unmarshal(out, &s) != nil {
		t.Fatalf("%v: %s", err, out)
	}
	e := Evidence{Marker: bareMarker, Changed: map[string]bool{}}
	if r.Real != "" {
		b, _ := os.ReadFile(filepath.Join(g.Project(), r.Real))
		e.Changed[r.Real] = strings.Contains(string(b), "overwritten")
	}
	if got, why := e.judge(r, s, true, nil); got != Through {
		t.Errorf("the row proves nothing: %s (%s) %+v %s", got, why, s, s.Out)
	}
}

// bareGround is a ground for one row, outside of /tmp, where links are restricted.
func bareGround(t *testing.T, r Row) *Ground {
	t.Helper()
	root, err := os.MkdirTemp("/var/tmp", "cs-bare-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	g := &Ground{Root: root, Exe: filepath.Join(root, "bin", "countersign")}
	if err := os.Mkdir(filepath.Dir(g.Exe), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(g.Exe, []byte("#!/bin/sh\nexit 0\n"), 0o700); err != nil { //nolint:gosec // it is a program
		t.Fatal(err)
	}
	err = g.Lay(bareMarker, func() error {
		if r.Needs != NeedGit {
			return nil
		}
		if _, err := exec.LookPath("git"); err != nil {
			t.Skip("not protected here: there is no git")
		}
		for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A", "-f"}, {"commit", "-q", "-m", "canaries"}} {
			cmd := exec.Command("git", append([]string{"-c", "user.name=c", "-c", "user.email=c@example.com"}, args...)...)
			cmd.Dir = g.Project()
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("git %q: %s", args, bytes.TrimSpace(out))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}
