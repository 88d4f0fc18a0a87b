// Package grants keeps what a person has approved for more than one attempt of
// the same command.
//
// It promises that a grant is found by the whole reuse key only, that one kept
// for a project has a date, and that a file it cannot read grants nothing. It
// may touch one file of the state directory and the lock beside it. It decides
// nothing: whether a grant still stands is for the gate to ask.
package grants

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/atomicfile"
	"github.com/countersign/countersign/internal/filelock"
)

// Longest is how far off the end of a grant for a project may lie.
const Longest = 90 * 24 * time.Hour

// Grant is an approval that covers more than one attempt.
type Grant struct {
	Key       string            `json:"key"` // reuse key of the command
	Summary   string            `json:"summary"`
	By        string            `json:"by"`
	Means     string            `json:"means"`
	Shown     string            `json:"shown"` // "sha256:…" of what was shown
	ShownMS   int64             `json:"shown_ms"`
	Scope     countersign.Scope `json:"scope"`
	Confirmed string            `json:"confirmed,omitempty"` // the word that was typed
	Given     time.Time         `json:"given"`
	Until     time.Time         `json:"until,omitzero"` // zero: the end of the session
	Record    string            `json:"record"`         // id of its grant.given
	Rule      string            `json:"rule"`           // the rule that had asked
	Command   Command           `json:"command"`
}

// Command is what of a command a changed policy is held against. No value of a
// variable and no secret stands in it.
type Command struct {
	Argv     []string                 `json:"argv"`
	Cwd      string                   `json:"cwd"`
	Invoked  string                   `json:"invoked"`
	Exe      countersign.Executable   `json:"exe"`
	Interp   []countersign.Executable `json:"interp,omitempty"`
	Hops     []string                 `json:"hops,omitempty"`
	Scripts  []countersign.Script     `json:"scripts,omitempty"`
	Env      []string                 `json:"env,omitempty"` // names
	Writable bool                     `json:"writable,omitempty"`
}

// Exec is the command as policy is asked of it.
func (c Command) Exec() *countersign.Exec {
	e := &countersign.Exec{Argv: c.Argv, Cwd: c.Cwd, Invoked: c.Invoked, Exe: c.Exe, Interp: c.Interp, Hops: c.Hops, Scripts: c.Scripts, Writable: c.Writable}
	for _, name := range c.Env {
		e.Delta = append(e.Delta, countersign.EnvChange{Name: name})
	}
	return e
}

// Over reports whether the grant's date has passed.
func (g Grant) Over(now time.Time) bool { return !g.Until.IsZero() && !now.Before(g.Until) }

// Good reports whether it holds now: one that was given without the word is none
// where a word is wanted.
func (g Grant) Good(now time.Time, typed bool) bool {
	return !g.Over(now) && (!typed || g.Confirmed != "")
}

// File holds the grants of one project. Several processes may use it at once.
type File struct {
	Path    string
	Project string // its root; a file of another is refused
}

type document struct {
	V       int     `json:"v"`
	Project string  `json:"project"`
	Grants  []Grant `json:"grants"`
}

// Open reads a file of grants, whichever project it is of.
func Open(path string) (File, []Grant, error) {
	f := File{Path: path}
	d, err := f.read()
	f.Project = d.Project
	return f, d.Grants, err
}

// List returns the grants, those whose date has passed too, by key. A file that
// is not there is none.
func (f File) List() ([]Grant, error) {
	d, err := f.read()
	return d.Grants, err
}

func (f File) read() (d document, err error) {
	b, err := os.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &d)
	}
	endless := func(g Grant) bool { return g.Until.IsZero() || g.Key == "" }
	switch {
	case err != nil:
	case d.V > 1:
		err = fmt.Errorf("version %d is newer than this program knows", d.V)
	case f.Project != "" && d.Project != f.Project:
		err = fmt.Errorf("it is of the project %s", d.Project)
	case slices.ContainsFunc(d.Grants, endless):
		err = errors.New("a grant has no date or no key")
	}
	if err != nil {
		err = &countersign.Error{Code: countersign.EInvalid, Op: "read grants", Thing: f.Path, Err: err, Remedy: "nothing is granted by it; remove it, and approve again"}
		return document{}, err
	}
	return d, nil
}

// Find returns the grant of a command.
func (f File) Find(key string) (Grant, bool, error) {
	all, err := f.List()
	i := slices.IndexFunc(all, func(g Grant) bool { return g.Key == key })
	if i < 0 {
		return Grant{}, false, err
	}
	return all[i], true, nil
}

// Put keeps a grant, in the place of an earlier one of the same command.
func (f File) Put(ctx context.Context, g Grant) error {
	return f.change(ctx, func(all []Grant) ([]Grant, error) {
		all = slices.DeleteFunc(all, func(old Grant) bool { return old.Key == g.Key })
		return append(all, g), nil
	})
}

// End drops each grant for which why has a reason, after note has put it on
// record. What cannot be noted stays.
func (f File) End(ctx context.Context, why func(Grant) string, note func(Grant, string) error) error {
	all, err := f.List()
	if err != nil || !slices.ContainsFunc(all, func(g Grant) bool { return why(g) != "" }) {
		return err
	}
	return f.change(ctx, func(all []Grant) ([]Grant, error) {
		left := []Grant{}
		for i, g := range all {
			if reason := why(g); reason == "" {
				left = append(left, g)
			} else if err := note(g, reason); err != nil {
				return append(left, all[i:]...), err
			}
		}
		return left, nil
	})
}

// change rewrites the file under its lock; what it has so far is written even
// with an error.
func (f File) change(ctx context.Context, with func([]Grant) ([]Grant, error)) error {
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return err
	}
	unlock, err := filelock.Lock(ctx, f.Path+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	all, err := f.List()
	if err != nil {
		return err
	}
	all, failed := with(all)
	slices.SortFunc(all, func(a, b Grant) int { return a.Given.Compare(b.Given) })
	b, err := json.MarshalIndent(document{1, f.Project, all}, "", "  ")
	if err == nil {
		err = atomicfile.Write(f.Path, append(b, '\n'), 0o600)
	}
	return errors.Join(failed, err)
}
