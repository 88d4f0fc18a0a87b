//go:build amd64 || arm64

package proving

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/internal/landlock"
	"github.com/countersign/countersign/selftest"
	"github.com/countersign/countersign/workspace/gitrun"
)

// wholeTime bounds the session of a self-test.
const wholeTime = 3 * time.Minute

// trial is one self-test.
type trial struct {
	*base.App
	opt     Options
	ground  selftest.Ground
	marker  string
	session string
	said    []selftest.Said
}

func run(ctx context.Context, a *base.App, o Options) (r Report, err error) {
	began := a.Now()
	t := &trial{App: a, opt: o, marker: "canary-" + strings.ToLower(rand.Text())}
	// Also a session that could not start is a run of the controls: it is on record.
	defer t.clear()
	if err := t.lay(ctx); err != nil {
		return r, err
	}
	if err := t.attack(ctx); err != nil {
		return r, t.unmade(ctx, err)
	}
	e, tier, bundle, err := t.evidence(ctx)
	if err != nil {
		return r, err
	}
	r = Report{Session: t.session, Tier: tier, Policy: bundle, Counts: map[string]int{}}
	for _, x := range selftest.Judge(t.said, e) {
		r.Rows = append(r.Rows, line(x))
		r.Counts[string(x.State)]++
		if x.State.Failed() {
			r.Failed++
		}
	}
	r.MS = a.Now().Sub(began).Milliseconds()
	return r, t.record(ctx, r)
}

// lay makes the canary home and project where a person's would lie: on the disk of
// the cache, beside no real project.
func (t *trial) lay(ctx context.Context) error {
	if err := t.Dirs.Make(); err != nil {
		return err
	}
	if err := os.MkdirAll(t.Dirs.Cache, 0o700); err != nil {
		return err
	}
	root, err := os.MkdirTemp(t.Dirs.Cache, "selftest-")
	if err != nil {
		return err
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return err
	}
	t.ground.Root = root
	if landlock.ABI() < landlock.Signals {
		t.ground.Missing = append(t.ground.Missing, selftest.NeedSignals)
	}
	if runtime.GOARCH != "amd64" {
		t.ground.Missing = append(t.ground.Missing, selftest.NeedAMD64)
	}
	return t.ground.Lay(t.marker, func() error { return t.commit(ctx) })
}

// commit makes the project a repository with the secrets in its history, if there
// is a git.
func (t *trial) commit(ctx context.Context) error {
	project := t.ground.Project()
	repo := gitrun.Repo{Dir: filepath.Join(project, ".git"), Common: filepath.Join(project, ".git")}
	if _, err := (gitrun.Call{}).Run(ctx, "init", "-q", "-b", "main", project); errors.Is(err, exec.ErrNotFound) {
		t.ground.Missing = append(t.ground.Missing, selftest.NeedGit)
		return nil
	} else if err != nil {
		return err
	}
	c := gitrun.Call{Repo: repo, Work: project, Locks: true, Extra: []string{"user.name=canary", "user.email=canary@example.com"}}
	if _, err := c.Run(ctx, "add", "-A", "-f"); err != nil {
		return err
	}
	_, err := c.Run(ctx, "commit", "-q", "-m", "canaries")
	return err
}

// job is what the session's process is told.
type job struct {
	Ground         selftest.Ground
	Marker         string
	Policy, Preset string
	Backend        string
}

// attack runs the session in a process of its own: its home is the canary's.
func (t *trial) attack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, wholeTime)
	defer cancel()
	policy := t.opt.Policy
	if policy != "" {
		var err error
		if policy, err = filepath.Abs(policy); err != nil {
			return err
		}
	}
	in, err := json.Marshal(job{t.ground, t.marker, policy, t.opt.Preset, t.opt.Backend})
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, commandSession, t.ground.Root)
	cmd.Dir, cmd.Stdin, cmd.WaitDelay = t.ground.Project(), bytes.NewReader(in), 5*time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Env = append(os.Environ(),
		"HOME="+t.ground.Home(), "XDG_STATE_HOME="+filepath.Dir(t.Dirs.State), "XDG_CONFIG_HOME="+filepath.Dir(t.Dirs.Config), "XDG_CACHE_HOME="+filepath.Dir(t.Dirs.Cache),
		// What an agent finds in a person's environment.
		"SSH_AUTH_SOCK=/nowhere/"+t.marker, "AWS_SECRET_ACCESS_KEY="+t.marker,
	)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	runErr := cmd.Run()
	lines := bufio.NewScanner(&out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s selftest.Said
		if json.Unmarshal(lines.Bytes(), &s) != nil {
			continue
		}
		if s.Session != "" {
			t.session = s.Session
			continue
		}
		t.said = append(t.said, s)
	}
	if len(t.said) == 0 || t.session == "" {
		return &countersign.Error{Code: countersign.EPosture, Op: "start the self-test's session", Err: fmt.Errorf("%w: %s", errNoSession, words(talk.String(), runErr)), Remedy: "`countersign doctor` says what this machine enforces"}
	}
	return nil
}

var errNoSession = errors.New("it made no attempt")

// words is what the session's process said, in one line.
func words(said string, err error) string {
	var out []string
	for l := range strings.Lines(said) {
		if l = strings.TrimSpace(strings.TrimPrefix(l, "countersign: ")); l != "" {
			out = append(out, base.Plain(l))
		}
	}
	if len(out) == 0 {
		return fmt.Sprint(err)
	}
	return strings.Join(out, "; ")
}

// evidence reads what the session left on record.
func (t *trial) evidence(context.Context) (e selftest.Evidence, tier, bundle string, err error) {
	home := *t.App
	home.Getenv = func(name string) string {
		if name == "HOME" {
			return t.ground.Home()
		}
		return t.Getenv(name)
	}
	p, _, err := home.ReadPolicy(base.PolicyFrom{File: t.opt.Policy, Preset: t.opt.Preset, Project: t.ground.Project()})
	if err != nil {
		return e, "", "", err
	}
	e = selftest.Evidence{Marker: t.marker, Missing: t.ground.Missing, Changed: map[string]bool{}}
	if own, err := os.ReadFile("/proc/self/status"); err == nil { // Seccomp: 2 is a filter (proc_pid_status(5))
		e.Above = !bytes.Contains(own, []byte("\nSeccomp:\t0\n"))
	}
	e.Open = func(path string) bool { _, denied := p.Path(path); return !denied }
	if !p.Hosts().Open() {
		e.Missing = append(e.Missing, selftest.NeedProxy)
	}
	for _, r := range selftest.Table() {
		if r.Real != "" {
			b, err := os.ReadFile(filepath.Join(t.ground.Project(), r.Real))
			e.Changed[r.Real] = err != nil || bytes.Contains(b, []byte("overwritten"))
		}
	}
	w := newAssigner()
	for r, err := range t.OfSession(t.session) {
		if err != nil {
			return e, "", "", err
		}
		if r.Type == "session.started" && r.Cov != nil && r.Policy != nil {
			tier, bundle = r.Cov.Tier, r.Policy.Bundle
		}
		w.take(r)
	}
	e.Tier, e.Records, e.Allowed = tier, w.records, w.allowed
	return e, tier, bundle, nil
}

// record writes a canary.result for every row; all are durable when it returns.
func (t *trial) record(ctx context.Context, r Report) error {
	l, err := t.Ledger(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	for i, x := range r.Rows {
		receipt, err := l.Append(ctx, t.result(r, x), i == len(r.Rows)-1)
		if err != nil {
			return err
		}
		r.Rows[i].Record = receipt.ID
	}
	return nil
}

func (t *trial) result(r Report, x Line) countersign.Record {
	status := "ok"
	if selftest.State(x.State).Failed() {
		status = "failed"
	}
	return countersign.Record{
		Type: "canary.result", Session: r.Session, Canary: true, Actor: &countersign.Actor{Kind: "system", ID: "selftest"},
		Policy: &countersign.PolicyRecord{Bundle: r.Policy, Preset: t.opt.Preset}, Cov: &countersign.Coverage{Tier: r.Tier, Isolation: "same-uid"},
		Action:  &countersign.ActionRecord{Kind: countersign.KindTamper, Summary: x.Tries},
		Outcome: &countersign.Outcome{Status: status},
		Detail: map[string]any{
			"row": x.Row, "control": x.Control, "invariant": x.Invariant, "expected": x.Expected, "got": clip(x.Got), "state": x.State, "blocked": x.Blocked,
		},
	}
}

// unmade puts a self-test on record whose session could not be started.
func (t *trial) unmade(ctx context.Context, why error) error {
	rec := t.result(Report{Session: t.session}, Line{
		Row: "session", Control: "AC-19", Invariant: 8, Tries: "start a session to attack", Expected: "it starts",
		State: string(selftest.Unmade), Got: why.Error(),
	})
	rec.Policy, rec.Cov = nil, nil
	return errors.Join(why, t.Note(ctx, rec))
}

// clip keeps a record in its bounds.
func clip(s string) string { return s[:min(len(s), 400)] }

// clear removes what the self-test made: nothing of it is anybody's work.
func (t *trial) clear() {
	if t.ground.Root == "" {
		return
	}
	dirs := []string{t.ground.Root, t.ProjectState(t.ground.Project())}
	all, _ := t.Dirs.List()
	for _, k := range all {
		if k.Project == t.ground.Project() {
			dirs = append(dirs, t.Dirs.Session(k.ID))
		}
	}
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error { // overlay's work directory has no mode bit
			if err == nil && d.IsDir() {
				_ = os.Chmod(path, 0o700) //nolint:gosec // it is a directory of ours
			}
			return nil
		})
		if err := os.RemoveAll(dir); err != nil {
			t.Say("left behind by the self-test: %v", err)
		}
	}
}
