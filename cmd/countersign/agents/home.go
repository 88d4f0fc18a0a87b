package agents

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/filelock"
	"github.com/countersign/countersign/profile"
	"github.com/countersign/countersign/workspace/tree"
)

// Furnish writes an agent's settings into its home, and what of the person's own
// home it starts with, where that is not there yet. A settings file that names the
// gateway is written anew each time: its token changes with the session. denied
// tells the names of the person's home that do not open.
func Furnish(p *profile.Profile, d profile.Door, home, person string, denied func(name string) bool) error {
	root, err := tree.OpenRoot(home)
	if err != nil {
		return err
	}
	defer root.Close()
	put := func(name, content string) error {
		var err error
		if dir := path.Dir(name); dir != "." {
			_, err = root.MkdirAll(dir)
		}
		if err == nil {
			err = root.WriteAtomic(name, strings.NewReader(content), 0o600)
		}
		if err != nil {
			return &countersign.Error{
				Code: countersign.EInvalid, Op: "write the settings of " + p.Name + " to", Thing: name, Err: err,
				Remedy: "`countersign agents reset " + p.Name + "` throws its private home away",
			}
		}
		return nil
	}
	for _, name := range p.Seed {
		if _, err := root.Lstat(name); !errors.Is(err, fs.ErrNotExist) || denied(name) {
			continue
		}
		if b := small(filepath.Join(person, name)); len(b) > 0 {
			if err := put(name, string(b)); err != nil {
				return err
			}
		}
	}
	for _, f := range p.Settings(d) {
		if err := put(f.Path, f.Content); err != nil {
			return err
		}
	}
	return nil
}

// Reset throws away an agent's private homes in a directory of homes: its own, and
// those that a second session at once was given. remove takes a whole tree away.
func Reset(homes, name string, remove func(dir string) error) (found bool, err error) {
	list, err := os.ReadDir(homes)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var held []*os.File
	defer func() {
		for _, f := range held {
			f.Close()
		}
	}()
	var dirs []string
	for _, e := range list {
		home := strings.TrimSuffix(e.Name(), ".caches")
		if !e.IsDir() || home != name && !second(home, name) {
			continue
		}
		dirs = append(dirs, filepath.Join(homes, e.Name()))
		if home != e.Name() {
			continue // its home's lock is its own
		}
		lock, err := filelock.Try(filepath.Join(homes, "."+home+".lock"), filelock.Exclusive)
		if errors.Is(err, filelock.ErrBusy) {
			return true, &countersign.Error{
				Code: countersign.EInvalid, Op: "reset the home of", Thing: name, Err: errors.New("a session works in it"),
				Remedy: "`countersign sessions` lists it, `countersign stop SESSION` ends it",
			}
		}
		if err != nil {
			return true, err
		}
		held = append(held, lock)
	}
	for _, dir := range dirs {
		if err := remove(dir); err != nil {
			return true, err
		}
	}
	return len(dirs) > 0, nil
}

// second reports whether a home is what a second session of an agent got.
func second(home, name string) bool {
	id, ok := strings.CutPrefix(home, name+"-")
	return ok && len(id) == 8 && strings.Trim(id, "0123456789abcdefghjkmnpqrstvwxyz") == ""
}
