// Package gittext keeps the texts of a session's git directories: the files that
// decide what git starts there (gitrepository-layout(5)), which nobody inside writes.
//
// It promises: a text changes only to what was checked, all of it at once; what holds
// a key that starts a program, reads another file or holds a credential is not taken;
// what was taken is what the next session goes on with, whatever lies in the directory
// that the agent writes.
//
// It may touch its own directory and have git read a text. It must start nothing else.
package gittext

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/countersign/countersign/internal/atomicfile"
	"github.com/countersign/countersign/internal/gitkeys"
	"github.com/countersign/countersign/workspace/gitrun"
)

// Names are the names of a git directory's texts. A commondir of the agent's would
// have git take configuration and hooks from elsewhere; nobody can be kept from making
// one but by one that is there, which names the directory that it stands in.
var Names = []string{"config", "config.worktree", CommonDir}

// CommonDir is the text that never changes, from Here.
const (
	CommonDir = "commondir"
	Here      = ".\n"
)

// Text is one of them.
type Text struct {
	Path    string // inside
	Content []byte
	Fixed   bool // it does not change
}

// Keeper keeps the texts of one session. It is safe for use by many goroutines.
type Keeper struct {
	dir string

	mu   sync.Mutex // held while a text changes
	file map[string]string
	all  []string // paths inside, in the order in which they came
	show func(path string, content []byte) error
}

// New returns a keeper that has its files in dir, where the agent has nothing.
func New(dir string) *Keeper { return &Keeper{dir: dir, file: map[string]string{}} }

// Add keeps the texts of the git directory at a path inside, under the name that it
// has from session to session.
func (k *Keeper) Add(gitDir, name string) {
	sum := sha256.Sum256([]byte(name))
	for _, text := range Names {
		at := path.Join(gitDir, text)
		k.all = append(k.all, at)
		k.file[at] = filepath.Join(k.dir, "text-"+hex.EncodeToString(sum[:8])+"-"+text)
	}
}

// Forget drops what is kept of a git directory, which is made anew.
func (k *Keeper) Forget(gitDir string) error {
	for _, text := range Names {
		if err := os.Remove(k.file[path.Join(gitDir, text)]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// All are the texts as they are now.
func (k *Keeper) All() ([]Text, error) {
	var out []Text
	for _, at := range k.all {
		b, err := k.Read(at)
		if err != nil {
			return nil, err
		}
		out = append(out, Text{Path: at, Content: b, Fixed: path.Base(at) == CommonDir})
	}
	return out, nil
}

// Read reads a text. fs.ErrNotExist: nothing is kept yet.
func (k *Keeper) Read(at string) ([]byte, error) { return os.ReadFile(k.file[at]) }

// Settings are those of a text.
func (k *Keeper) Settings(ctx context.Context, at string) ([]gitkeys.Setting, error) {
	b, err := k.Read(at)
	if err != nil {
		return nil, err
	}
	return gitrun.ParseConfig(ctx, b)
}

// Serve has every later change of a text go through show, which puts it before the
// agent's eyes, whole, or says why not.
func (k *Keeper) Serve(show func(path string, content []byte) error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.show = show
}

// Served tells whether the agent may be looking.
func (k *Keeper) Served() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.show != nil
}

// Put changes a text from outside.
func (k *Keeper) Put(at string, content []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.put(at, content)
}

func (k *Keeper) put(at string, content []byte) error {
	if k.show != nil {
		if err := k.show(at, content); err != nil {
			return err
		}
	}
	return atomicfile.Replace(k.file[at], content)
}

// Rewrite gives a text the content that git inside would give it, unless it starts
// a program, reads another file or holds a credential: the error names the keys.
func (k *Keeper) Rewrite(ctx context.Context, at string, content []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.file[at] == "" || path.Base(at) == CommonDir {
		return errors.New("it is not the session's to change")
	}
	all, err := gitrun.ParseConfig(ctx, content)
	if err != nil || bytes.IndexByte(content, 0) >= 0 {
		return errors.New("git cannot read it")
	}
	kept, refused := gitkeys.Clean(all)
	for i, x := range kept {
		if len(refused) == 0 && x != all[i] { // none is missing
			refused = append(refused, x.Key)
		}
	}
	if len(refused) > 0 {
		return fmt.Errorf("it starts a program, reads another file or holds a credential: %s", strings.Join(refused, ", "))
	}
	if i := slices.IndexFunc(all, noModes); i >= 0 {
		if was, err := k.Settings(ctx, at); err == nil && !slices.ContainsFunc(was, noModes) {
			all[i].Value = "true"
			content = gitkeys.Format(all)
		}
	}
	return k.put(at, content)
}

// noModes is what git init writes inside, again, for it asks by chmod of the
// configuration whether there are modes, and is refused.
func noModes(x gitkeys.Setting) bool {
	return strings.EqualFold(x.Key, "core.filemode") && x.Value == "false"
}
