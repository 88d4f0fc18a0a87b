package apply

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/countersign/countersign/workspace/store"
	"github.com/countersign/countersign/workspace/tree"
)

// digest binds what will be done: every path with its pre- and post-version.
func (j *journal) digest() string {
	h := sha256.New()
	fmt.Fprintf(h, "countersign apply v1\n%s\n", j.Kind)
	for _, e := range j.Entries {
		fmt.Fprintf(h, "%q %s %o %s %o\n", e.Path, e.Pre.sum(), e.Pre.mode(), e.Post.sum(), e.Post.mode())
	}
	for _, m := range j.Moves {
		fmt.Fprintf(h, "move %q %q %s\n", m.From, m.To, m.Inode)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// engine carries out one journal.
type engine struct {
	root *tree.Root
	j    *journal
	step func(Step) error

	noExchange bool
}

func (e *engine) exchange(a, b string) error {
	if e.noExchange {
		return errors.ErrUnsupported
	}
	return e.root.Exchange(a, b)
}

// bulk is the number of files above which the file system is flushed as a whole.
const bulk = 32

// temps writes every new version beside the tree, so that a full disk shows
// before anything has moved.
func (e *engine) temps() error {
	if err := e.root.Mkdir(string(e.j.TempDir), 0o700); err != nil {
		return err
	}
	for i := range e.j.Entries {
		if err := e.step(StepTemp); err != nil {
			return err
		}
		if en := &e.j.Entries[i]; en.Post != nil {
			if err := e.temp(en); err != nil {
				return fmt.Errorf("write %s: %w", en.Path, err)
			}
		}
	}
	return e.sync(nil)
}

func (e *engine) temp(en *entry) error {
	t := string(en.Temp)
	src, err := en.body.open()
	if err != nil {
		return err
	}
	defer src.Close()
	if tree.IsSymlink(en.Post.Mode) {
		target, err := io.ReadAll(src)
		if err != nil {
			return err
		}
		return e.root.Symlink(string(target), t)
	}
	perm := fs.FileMode(0o666)
	if en.Post.Mode&0o111 != 0 {
		perm = 0o777
	}
	f, err := e.root.Create(t, perm)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, src)
	if err == nil && len(e.j.Entries) < bulk {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = e.dress(en)
	}
	return err
}

// dress gives a new version the permission bits and owner of the file it
// replaces; a new file in a set-group-id directory gets its group.
func (e *engine) dress(en *entry) error {
	t, want := string(en.Temp), en.Post
	info, err := e.root.Lstat(t)
	if err != nil {
		return err
	}
	if en.Pre != nil && !tree.IsSymlink(en.Pre.Mode) && want.Perm != 0 {
		// Only root may give a file away; who may not keeps what he wrote.
		if want.UID >= 0 && (info.UID != want.UID || info.GID != want.GID) {
			_ = e.root.Chown(t, want.UID, want.GID)
		}
	} else if _, _, d := nearest(e.root, string(en.Path)); d.Mode&fs.ModeSetgid != 0 && d.GID != info.GID {
		_ = e.root.Chown(t, -1, d.GID)
	}
	if want.Perm == 0 {
		return nil
	}
	perm := fs.FileMode(want.Perm)
	switch exec := want.Mode&0o111 != 0; {
	case exec && perm&0o100 == 0:
		perm |= (perm & 0o444) >> 2
	case !exec:
		perm &^= 0o111
	}
	if perm == info.Mode.Perm() {
		return nil
	}
	return e.root.Chmod(t, perm)
}

// swap puts everything in its place: what goes first, then what comes.
func (e *engine) swap() error {
	for i := range e.j.Entries {
		if en := &e.j.Entries[i]; en.Post == nil {
			if err := e.one(en, e.take); err != nil {
				return err
			}
		}
	}
	e.rmdirs()
	for _, d := range e.j.Made {
		if err := e.root.Mkdir(string(d.Path), 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
			return drift(string(d.Path), err)
		} else if err == nil && d.Perm != 0 {
			_ = e.root.ChmodDir(string(d.Path), fs.FileMode(d.Perm))
		}
	}
	if len(e.j.Moves) > 0 {
		if err := e.moves(); err != nil {
			return err
		}
		e.rmdirs()
	}
	for i := range e.j.Entries {
		if en := &e.j.Entries[i]; en.Post != nil {
			if err := e.one(en, e.put); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *engine) rmdirs() {
	for _, d := range e.j.Removed {
		_ = e.root.Rmdir(string(d.Path)) // not empty, or not there: it stays as it is
	}
}

func (e *engine) one(en *entry, f func(*entry) error) error {
	if err := e.step(StepSwap); err != nil {
		return err
	}
	if err := f(en); err != nil {
		return drift(string(en.Path), err)
	}
	return nil
}

// take moves a path out of the tree.
func (e *engine) take(en *entry) error {
	if err := moveNew(e.root, string(en.Path), string(en.Temp)); err != nil {
		return err
	}
	return e.displaced(en, string(en.Temp))
}

// put moves a new version in. What it displaces is looked at afterwards, where
// nobody else has it: so there is no moment at which a person's edit could be
// overwritten unseen.
func (e *engine) put(en *entry) error {
	p, t := string(en.Path), string(en.Temp)
	if en.Pre == nil {
		return moveNew(e.root, t, p)
	}
	err := e.exchange(t, p)
	if !errors.Is(err, errors.ErrUnsupported) {
		if err != nil {
			return err
		}
		return e.displaced(en, t)
	}
	if err := moveNew(e.root, p, t+aside); err != nil {
		return err
	}
	if err := e.displaced(en, t+aside); err != nil {
		return err
	}
	if err := e.step(StepSwap); err != nil {
		return err
	}
	return moveNew(e.root, t, p)
}

// aside ends the name of what was displaced where the file system cannot
// exchange two names in one step.
const aside = "~"

func (e *engine) displaced(en *entry, at string) error {
	v, err := look(e.root, at)
	if err != nil {
		return err
	}
	if !v.same(en.Pre) {
		return &driftError{path: string(en.Path), err: store.ErrBytes}
	}
	return nil
}

// settled checks that what was displaced is still what it was and that nobody can
// write to it any more: whoever had it open for writing keeps it.
func (e *engine) settled(en *entry, at string) error {
	if !tree.IsSymlink(en.Pre.Mode) {
		f, err := e.root.Open(at)
		if err != nil {
			return err
		}
		defer f.Close()
		if tree.BeingWritten(f) {
			return &driftError{path: string(en.Path), err: errors.New("another program has it open for writing")}
		}
	}
	return e.displaced(en, at)
}

// moveNew renames without ever replacing.
func moveNew(r *tree.Root, from, to string) error {
	err := r.RenameNoReplace(from, to)
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if _, err := r.Lstat(to); err == nil {
		return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
	}
	return r.Rename(from, to)
}

// verify looks once more at what was displaced, for a writer that had the old
// file open, and that what was put is reached from the root.
func (e *engine) verify() error {
	for i := range e.j.Entries {
		en := &e.j.Entries[i]
		if err := e.step(StepVerify); err != nil {
			return err
		}
		if en.Pre != nil {
			at := string(en.Temp)
			if _, err := e.root.Lstat(at + aside); err == nil {
				at += aside
			}
			if err := e.settled(en, at); err != nil {
				return drift(string(en.Path), err)
			}
		}
		if en.Post != nil {
			if _, err := e.root.Lstat(string(en.Path)); err != nil {
				return drift(string(en.Path), err)
			}
		}
	}
	for _, m := range e.j.Moves {
		if !e.is(string(m.To), m) {
			return &driftError{path: string(m.From), err: store.ErrBytes}
		}
	}
	return e.sync(e.j.Entries)
}

// sync flushes the directories of the entries, or, of many, all at once.
func (e *engine) sync(entries []entry) error {
	if len(e.j.Entries) >= bulk && store.CanSyncFS {
		return store.SyncFS(e.root.Path())
	}
	dirs := map[string]bool{".": true}
	for _, d := range []string{string(e.j.TempDir)} {
		if _, err := e.root.Lstat(d); err == nil {
			dirs[d] = true
		}
	}
	for _, en := range entries {
		near, _, _ := nearest(e.root, string(en.Path))
		dirs[near] = true
	}
	for _, m := range e.j.Moves {
		for _, n := range []Name{m.From, m.To} {
			near, _, _ := nearest(e.root, string(n))
			dirs[near] = true
		}
	}
	for d := range dirs {
		if err := e.root.SyncDir(d); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return drift(d, err)
		}
	}
	return nil
}

// clean removes what was displaced.
func (e *engine) clean() error {
	for i := range e.j.Entries {
		if err := e.step(StepClean); err != nil {
			return err
		}
		t := string(e.j.Entries[i].Temp)
		switch err := e.root.Remove(t); {
		case err == nil:
		case !errors.Is(err, fs.ErrNotExist):
			return err
		default: // nothing was displaced, or it was where two names cannot be exchanged
			if err := gone(e.root.Remove(t + aside)); err != nil {
				return err
			}
		}
	}
	if err := e.root.Rmdir(string(e.j.TempDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return e.root.SyncDir(".")
}

// rollback puts the tree back as it was, from whatever point. What a person
// changed after a file had been put stays his; kept says where that was.
func (e *engine) rollback(images *store.Store) (kept []string, err error) {
	undo := func(came bool) error {
		for i := range slices.Backward(e.j.Entries) {
			en := &e.j.Entries[i]
			if (en.Post != nil) != came {
				continue
			}
			if err := e.step(StepBack); err != nil {
				return err
			}
			k, err := e.back(en, images)
			if err != nil {
				return fmt.Errorf("put %s back: %w", en.Path, err)
			}
			if k {
				kept = append(kept, string(en.Path))
			}
		}
		return nil
	}
	if err := undo(true); err != nil {
		return kept, err
	}
	if e.j.State != writing {
		k, err := e.dirsBack()
		kept = append(kept, k...)
		if err != nil {
			return kept, err
		}
	}
	if err := undo(false); err != nil {
		return kept, err
	}
	if err := e.root.Rmdir(string(e.j.TempDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return kept, err
	}
	return kept, e.sync(e.j.Entries)
}

// dirsBack puts denied files and the directories back that went.
func (e *engine) dirsBack() (kept []string, err error) {
	for _, d := range slices.Backward(e.j.Removed) { // outermost first
		if err := e.root.Mkdir(string(d.Path), 0o777); err == nil {
			_ = e.root.ChmodDir(string(d.Path), fs.FileMode(d.Perm))
		}
	}
	for _, m := range slices.Backward(e.j.Moves) {
		if err := e.step(StepBack); err != nil {
			return kept, err
		}
		k, err := e.moveBack(m)
		if err != nil {
			return kept, fmt.Errorf("put %s back: %w", m.From, err)
		}
		if k {
			kept = append(kept, string(m.To))
		}
	}
	for _, d := range slices.Backward(e.j.Made) {
		_ = e.root.Rmdir(string(d.Path))
	}
	return kept, nil
}
