package base

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/keys"
	"github.com/countersign/countersign/internal/atomicfile"
	"github.com/countersign/countersign/internal/strictyaml"
	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/session"
	"github.com/countersign/countersign/workspace/apply"
	"github.com/countersign/countersign/workspace/gitview"
	"github.com/countersign/countersign/workspace/tree"
)

// organisationPolicy is where a company's own layer lies; a user cannot write it.
const organisationPolicy = "/etc/countersign/policy.yaml"

// ownPolicy is where a project's own layer lies, from its root.
const ownPolicy = ".countersign/policy.yaml"

// maxLayer is more than a policy may have, so that one that is too long is told.
const maxLayer = strictyaml.MaxSource + 1

// readLayer reads a policy file. A project's comes with a clone: it is read only
// as a file of the project, through no link and from no device or pipe.
func readLayer(layer policy.Layer, path string) ([]byte, error) {
	var f io.ReadCloser
	var err error
	if layer == policy.LayerProject {
		var root *tree.Root
		if root, err = tree.OpenRoot(filepath.Dir(filepath.Dir(path))); err != nil {
			return nil, err
		}
		defer root.Close()
		f, err = root.Open(ownPolicy)
	} else {
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxLayer))
}

// Unreadable is the error of a policy file that could not be read.
func Unreadable(path string, err error) error {
	e := &countersign.Error{Code: countersign.EInvalid, Op: "read policy", Thing: path, Err: err, Remedy: "make the file readable or remove it: nothing starts without every layer"}
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		e.Err = pe.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Remedy = "check the path"
	case errors.Is(err, tree.ErrRefused) || errors.Is(err, tree.ErrKind):
		e.Err, e.Remedy = errors.New("it is no plain file of the project"), "put the policy itself there, not a link; or remove it: nothing starts without every layer"
	}
	return e
}

// PolicyFrom says what a policy is put together from.
type PolicyFrom struct {
	File    string           // in place of the user's layer; may be empty
	Preset  string           // in place of the one that the user's layer names; may be empty
	Project string           // its root; without one there is no layer of one
	Agent   *policy.Document // its housekeeping, of the built-in layer; may be nil
	Said    *policy.Document // what the command line adds to the user's layer; may be nil
}

// LoadPolicy reads every layer and compiles them. A layer that is there but
// cannot be read stops everything: nothing starts under half a policy.
func (a *App) LoadPolicy(file, project string) (*policy.Policy, error) {
	p, _, err := a.ReadPolicy(PolicyFrom{File: file, Project: project})
	return p, err
}

// ReadPolicy is LoadPolicy that also returns what file held, to be pinned: it
// may be a pipe, which can be read once.
func (a *App) ReadPolicy(from PolicyFrom) (p *policy.Policy, held []byte, err error) {
	docs, held, err := a.Layers(from)
	if err != nil {
		return nil, nil, err
	}
	if p, err = policy.Compile(docs...); err != nil {
		return nil, nil, err
	}
	if err := checkSecrets(p); err != nil {
		return nil, nil, err
	}
	return p.At(from.Project, a.Getenv("HOME")), held, nil
}

// Layers reads the layers, not yet put together, and what the file held that
// stands in the place of the user's.
func (a *App) Layers(from PolicyFrom) (docs []*policy.Document, held []byte, err error) {
	user := filepath.Join(a.Dirs.Config, "policy.yaml")
	if from.File != "" {
		user = from.File
	}
	docs = []*policy.Document{policy.BuiltIn()}
	if from.Agent != nil {
		docs = append(docs, from.Agent)
	}
	if from.Said != nil {
		docs = append(docs, from.Said)
	}
	layers := []layerFile{
		{layer: policy.LayerOrganisation, path: organisationPolicy},
		{layer: policy.LayerUser, path: user, must: from.File != "", preset: from.Preset},
	}
	if from.Project != "" {
		layers = append(layers, layerFile{layer: policy.LayerProject, path: filepath.Join(from.Project, ownPolicy)})
		layers = append(layers, around(from.Project)...)
	}
	for _, l := range layers {
		doc, src, err := l.read()
		if err != nil {
			return nil, nil, err
		}
		if doc != nil {
			docs = append(docs, doc)
		}
		if l.must {
			held = src
		}
	}
	return docs, held, nil
}

// layerFile is where a layer lies.
type layerFile struct {
	layer         policy.Layer
	path          string
	must          bool
	preset        string // in place of the one that it names
	below, prefix string // of a repository around the project
}

// read parses the layer; nil where there is none, which is well unless it must be.
func (l layerFile) read() (doc *policy.Document, src []byte, err error) {
	src, err = readLayer(l.layer, l.path)
	absent := errors.Is(err, fs.ErrNotExist) && !l.must
	switch {
	case err != nil && !absent:
		return nil, nil, Unreadable(l.path, err)
	case absent && l.preset == "":
		return nil, nil, nil
	case absent:
		doc = &policy.Document{Layer: l.layer, Name: l.path}
	default:
		if doc, err = policy.Parse(l.layer, l.path, src); err != nil {
			return nil, nil, err
		}
	}
	if l.preset != "" {
		doc, err = doc.On(l.preset)
	}
	if l.below != "" {
		doc = doc.Around(l.below, l.prefix)
	}
	return doc, src, err
}

// around are the policies of the repositories that the project lies in, as a
// submodule does or any clone in a clone, the nearest first. They hold too: who
// opens a part of a project has not left it.
func around(project string) (out []layerFile) {
	for at, prefix := project, "outer:"; filepath.Dir(at) != at; prefix += "outer:" {
		outer, err := gitview.Find(filepath.Dir(at))
		if err != nil || !outer.Git {
			break
		}
		at = outer.Root
		if rel, err := filepath.Rel(at, project); err == nil {
			out = append(out, layerFile{layer: policy.LayerProject, path: filepath.Join(at, ownPolicy), below: filepath.ToSlash(rel), prefix: prefix})
		}
	}
	return out
}

// PinPolicy keeps what took the place of the user's layer with its session: what
// is reviewed later is judged by the same rules.
func (a *App) PinPolicy(held []byte, session string) error {
	return atomicfile.Write(a.pinned(session), held, 0o600)
}

// SessionPolicy is the policy of a session: with its own layer and preset in the
// place of the user's, if it was started with one.
func (a *App) SessionPolicy(k session.Kept) (*policy.Policy, error) {
	p, _, err := a.ReadPolicy(PolicyFrom{File: a.PinnedPolicy(k.ID), Preset: k.Preset, Project: k.Project})
	return p, err
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

// GrantsFile holds what a person has approved for a project until a date.
func (a *App) GrantsFile(root string) string {
	return filepath.Join(a.ProjectState(root), "grants.json")
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
