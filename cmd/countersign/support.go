package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/atomicfile"
	"github.com/countersign/countersign/internal/redact"
	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/workspace/gitview"
	"github.com/countersign/countersign/workspace/stage"
)

// ledger reaches the user's ledger process, starting it if there is none.
func (a *app) ledger(ctx context.Context) (*ledger.Client, error) {
	if err := a.dirs.Make(); err != nil {
		return nil, err
	}
	return ledger.Dial(ctx, a.ledgerDirs(), a.spawnLedger)
}

func (a *app) ledgerDirs() ledger.Dirs {
	return ledger.Dirs{State: a.ledgerDir(), Socket: filepath.Join(a.dirs.Runtime, "ledger.sock")}
}

// spawnLedger starts the ledger process in a session of its own: it outlives
// the command that happened to need it first, and ends with its last client.
func (a *app) spawnLedger(context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	d := a.ledgerDirs()
	cmd := exec.Command(self, "__ledger", d.State, d.Socket)
	cmd.Dir = "/"
	detach(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the ledger process: %w", err)
	}
	go cmd.Wait()
	return nil
}

// digestKey is the secret of this ledger's keyed hashes, made at first use.
func (a *app) digestKey() ([]byte, error) {
	path := filepath.Join(a.dirs.State, "digest.key")
	b, err := os.ReadFile(path)
	if err == nil && len(b) == 32 {
		return b, nil
	}
	if err == nil {
		return nil, &countersign.Error{Code: countersign.EInvalid, Op: "read", Thing: path, Err: fmt.Errorf("it has %d bytes, not 32", len(b)), Remedy: "restore it from a backup; removing it makes old digests with secrets uncheckable"}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	b = make([]byte, 32)
	rand.Read(b)
	return b, atomicfile.Write(path, b, 0o600)
}

// project finds the project of the working directory.
func (a *app) project() (*gitview.Project, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	return gitview.Find(dir)
}

// recoverLost records the end of sessions that ended without saying so.
func (a *app) recoverLost(ctx context.Context, l countersign.Ledger) error {
	lost, err := a.dirs.Lost()
	if err != nil {
		return err
	}
	for _, k := range lost {
		open, err := a.openExecs(k.ID)
		if err != nil {
			return err
		}
		for _, id := range open {
			r := countersign.Record{Type: "exec.finished", Session: k.ID, Parent: id, Outcome: &countersign.Outcome{Status: "orphaned", Error: "its session was lost"}}
			if _, err := l.Append(ctx, r, false); err != nil {
				return err
			}
		}
		r := countersign.Record{
			Type: "session.ended", Session: k.ID, Actor: &countersign.Actor{Kind: "system"},
			Outcome: &countersign.Outcome{Status: "orphaned", Error: "the session's process ended without a word"}, Detail: map[string]any{"ended_by": "lost", "orphaned": len(open)},
		}
		if _, err := l.Append(ctx, r, true); err != nil {
			return err
		}
		if err := a.dirs.Close(k, "lost", nil, a.now()); err != nil {
			return err
		}
		a.say("session %s had ended without a word (killed, or the machine stopped): recorded; its staging layer stays", k.ID)
	}
	return nil
}

// openExecs finds decided commands of a session that have no outcome.
func (a *app) openExecs(id string) ([]string, error) {
	r, err := ledger.OpenReader(a.ledgerDir())
	if err != nil {
		return nil, err
	}
	var order []string
	open := map[string]bool{}
	for line, err := range r.All() {
		if err != nil {
			return nil, err
		}
		rec, ok := ofSession(line, id)
		switch {
		case !ok:
		case rec.Type == "exec.started":
			order, open[rec.Parent] = append(order, rec.Parent), true
		case rec.Type == "exec.finished":
			delete(open, rec.Parent)
		}
	}
	var out []string
	for _, p := range order {
		if open[p] {
			out = append(out, p)
		}
	}
	return out, nil
}

// continueFrom finds the layer that a new session on this project goes on from.
func (s *live) continueFrom() (string, error) {
	if s.opt.from != "" {
		k, err := s.dirs.Load(s.opt.from)
		if err != nil {
			return "", err
		}
		if k.Project != s.project.Root {
			return "", &countersign.Error{Code: countersign.EInvalid, Op: "go on from session", Thing: k.ID, Err: errors.New("it belongs to " + k.Project), Remedy: "start it there"}
		}
		return s.dirs.Session(k.ID), nil
	}
	if s.opt.fresh {
		return "", nil
	}
	for _, l := range stage.Layers(s.dirs.State, s.project.Root) {
		if !l.Live && l.Changes != 0 && (s.opt.backend == "" || s.opt.backend == l.Backend) {
			return l.SessionDir, nil
		}
	}
	return "", nil
}

// ofSession decodes a record if it belongs to the session.
func ofSession(line []byte, id string) (countersign.Record, bool) {
	var r countersign.Record
	err := json.Unmarshal(line, &r)
	return r, err == nil && r.Session == id
}

func redacted(argv []string) []string { return redact.Argv(argv) }

func summary(argv []string) string { return strings.Join(redact.Argv(argv), " ") }

// relative makes a path argument one of the project, or leaves it absolute.
func (a *app) relative(path string) string {
	if strings.HasPrefix(path, "~/") || path == "~" {
		return path
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(a.projectRoot(), abs); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
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
	root := a.projectRoot()
	for _, hop := range e.Hops {
		if strings.HasPrefix(hop, root+"/") || strings.HasPrefix(hop, a.getenv("HOME")+"/") || strings.HasPrefix(hop, "/tmp/") {
			e.Writable = true
		}
	}
	return e
}

func plainLines(s string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i := range lines {
		lines[i] = plain(lines[i])
	}
	return strings.Join(lines, "\n")
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
