package base

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/keys"
	"github.com/countersign/countersign/internal/atomicfile"
	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/workspace/apply"
	"github.com/countersign/countersign/workspace/gitview"
)

// organisationPolicy is where a company's own layer lies; a user cannot write it.
const organisationPolicy = "/etc/countersign/policy.yaml"

// LoadPolicy reads every layer and compiles them. file, if not empty, takes the
// place of the user's layer; without a project there is no layer of one. A layer that is there but cannot be read stops
// everything: nothing starts under half a policy.
func (a *App) LoadPolicy(file, project string) (*policy.Policy, error) {
	docs := []*policy.Document{policy.BuiltIn()}
	user := filepath.Join(a.Dirs.Config, "policy.yaml")
	if file != "" {
		user = file
	}
	layers := []struct {
		layer policy.Layer
		path  string
		must  bool
	}{
		{"organisation", organisationPolicy, false},
		{"user", user, file != ""},
		{"project", filepath.Join(project, ".countersign", "policy.yaml"), false},
	}
	if project == "" {
		layers = layers[:2]
	}
	for _, l := range layers {
		src, err := os.ReadFile(l.path)
		if errors.Is(err, fs.ErrNotExist) && !l.must {
			continue
		}
		if err != nil {
			return nil, &countersign.Error{Code: countersign.EInvalid, Op: "read policy", Thing: l.path, Err: errors.Unwrap(err), Remedy: "make the file readable or remove it: nothing starts without every layer"}
		}
		doc, err := policy.Parse(l.layer, l.path, src)
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
	p, err := policy.Compile(docs...)
	if err != nil {
		return nil, err
	}
	return p.At(project, a.Getenv("HOME")), nil
}

// PinPolicy keeps the file that took the place of the user's layer with its
// session: what is reviewed later is judged by the same rules.
func (a *App) PinPolicy(file, session string) error {
	src, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return atomicfile.Write(a.pinned(session), src, 0o600)
}

// SessionPolicy is the policy of a session: with its own layer in place of the
// user's, if it was started with one.
func (a *App) SessionPolicy(session, project string) (*policy.Policy, error) {
	return a.LoadPolicy(a.PinnedPolicy(session), project)
}

// PinnedPolicy is the file that PinPolicy kept, or empty.
func (a *App) PinnedPolicy(session string) string {
	file := a.pinned(session)
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return file
}

func (a *App) pinned(session string) string {
	return filepath.Join(a.Dirs.Session(session), "policy.yaml")
}

// RecoverApply finishes or takes back what an apply on this project left that
// was interrupted, and puts it on record. It costs one look at a file where
// there is nothing to do.
func (a *App) RecoverApply(ctx context.Context, root string, l *ledger.Client) error {
	what, err := apply.Recover(filepath.Join(a.ProjectState(root), "apply"), root)
	if err != nil || what == "" {
		return err
	}
	a.Say("an earlier apply had been interrupted: %s", what)
	rec := countersign.Record{
		Type: "changeset.recovered", Actor: &countersign.Actor{Kind: "system"},
		Action:  &countersign.ActionRecord{Kind: countersign.KindFileWrite, Path: Printable(root), Summary: what},
		Outcome: &countersign.Outcome{Status: "ok"},
	}
	if l == nil {
		return a.Note(ctx, rec)
	}
	_, err = l.Append(ctx, rec, true)
	return err
}

// ProjectKey names a project's own state by its path.
func ProjectKey(root string) string {
	sum := sha256.Sum256([]byte(root))
	return hex.EncodeToString(sum[:8])
}

// ProjectRoot is the root of the project the command was started in.
func (a *App) ProjectRoot() string {
	if p, err := a.Project(); err == nil {
		return p.Root
	}
	dir, _ := os.Getwd()
	return dir
}

func DeniedBy(p *policy.Policy) func(string) (string, bool) {
	return func(rel string) (string, bool) { rule, denied := p.Path(rel); return rule.ID, denied }
}

// NotableBy says which ignored files are hunks all the same: what starts by
// itself.
func NotableBy(p *policy.Policy) func(string) bool {
	return func(rel string) bool { risk, _ := p.Risk(rel); return risk == countersign.RiskHigh }
}

func (a *App) ProjectState(root string) string {
	return filepath.Join(a.Dirs.State, "projects", ProjectKey(root))
}

// Project finds the project of the working directory.
func (a *App) Project() (*gitview.Project, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	return gitview.Find(dir)
}

// KeysDir is where kept keys lie.
func (a *App) KeysDir() string { return filepath.Join(a.Dirs.Config, "keys") }

// KeyStore is where "countersign keys set" keeps keys. What opens the encrypted
// files is $COUNTERSIGN_KEYS_IDENTITY, a credential of the service manager
// (systemd.exec(5)), or a file of the state directory.
func (a *App) KeyStore() keys.Store {
	s := keys.Store{Dir: a.KeysDir(), Identity: filepath.Join(a.Dirs.State, "keys", "identity")}
	if dir := a.Getenv("CREDENTIALS_DIRECTORY"); filepath.IsAbs(dir) {
		if path := filepath.Join(dir, "countersign-keys"); exists(path) {
			s.Identity = path
		}
	}
	if path := a.Getenv("COUNTERSIGN_KEYS_IDENTITY"); path != "" {
		s.Identity = path
	}
	return s
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
