//go:build amd64 || arm64

package proving

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/cmd/countersign/live"
	"github.com/countersign/countersign/selftest"
	"github.com/countersign/countersign/session"
)

// commandSession is the hidden argument that makes this program the session of a
// self-test. What it is told on its standard input it can only attack: the command
// of its session is this program's own attacker.
const commandSession = "__selftest"

// Helper is the attacker or the session of a self-test, if args ask for it.
func Helper(args []string) (code int, handled bool) {
	if code, handled = selftest.Main(args); handled {
		return code, true
	}
	if len(args) != 2 || args[0] != commandSession {
		return 0, false
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := attacked(ctx, args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "countersign:", err)
		return 1, true
	}
	return 0, true
}

// attacked runs the session: an ordinary one, in which the self-test answers for
// the person.
func attacked(ctx context.Context, root string) error {
	var j job
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		return err
	}
	dirs, err := session.XDG(os.Getenv)
	if err != nil {
		return err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	// What the session runs is this program, whatever it was told.
	g := &j.Ground
	g.Root, g.Exe = root, filepath.Join(root, "bin", "countersign")
	sum, err := copySelf(g.Exe)
	if err != nil {
		return err
	}
	v, err := selftest.NewVictims(g, j.Marker)
	if err != nil {
		return err
	}
	defer v.Close()
	g.Args["state"], g.Args["runtime"], g.Args["config"] = dirs.State, dirs.Runtime, dirs.Config
	if err := g.Write(); err != nil {
		return err
	}
	a := &base.App{In: null, Out: os.Stderr, Err: os.Stderr, Getenv: os.Getenv, Now: time.Now, Dirs: dirs}
	exit, _, err := live.Run(ctx, a, live.Options{
		Agent: "selftest", Argv: []string{g.Exe, selftest.Command, "all", g.Spec()}, Policy: j.Policy, Preset: j.Preset,
		Approver: "selftest", Backend: j.Backend, Fresh: true, Selftest: approver(g, sum),
	})
	if err == nil && exit != 0 {
		err = fmt.Errorf("the attacker ended with %d", exit)
	}
	return err
}

// approver approves the attempts themselves, by this very program, and what a row
// needs to be made.
func approver(g *selftest.Ground, sum string) func(countersign.Request) bool {
	needed := selftest.Approved()
	return func(r countersign.Request) bool {
		e := r.Action.Exec
		if e == nil {
			return false
		}
		for _, d := range e.Delta {
			if strings.HasPrefix(d.Name, "LD_") {
				return false
			}
		}
		if e.Exe.Path == g.Exe && e.Exe.SHA256 == sum && rowOf(e.Argv) != "" && rowOf(r.Action.Peer.Argv) == "" {
			return true
		}
		row, ok := selftest.Find(rowOf(r.Action.Peer.Argv))
		line := strings.Join(e.Argv, "\x00")
		return ok && needed[line] && strings.Join(row.Runs, "\x00") == line
	}
}

// copySelf puts this program where the sandbox shows it as it shows an agent, and
// returns its SHA-256 in hex.
func copySelf(to string) (sum string, err error) {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", err
	}
	defer self.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return "", err
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, h), self)
	return hex.EncodeToString(h.Sum(nil)), errors.Join(err, f.Close())
}
