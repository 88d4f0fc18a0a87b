package apply

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/countersign/countersign/workspace/store"
	"github.com/countersign/countersign/workspace/tree"
)

// back undoes one entry, whatever of it had been done. kept is set where a
// person has changed the path since, and it was left as it is.
func (e *engine) back(en *entry, images *store.Store) (kept bool, err error) {
	t := string(en.Temp)
	if e.j.State == writing {
		return false, gone(e.root.Remove(t))
	}
	for range 5 {
		kept, err = e.backOnce(en, images)
		var d *driftError
		if err == nil || !errors.As(drift(string(en.Path), err), &d) {
			return kept, err
		}
	}
	return kept, err
}

func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// other stands for what is there and is neither a file nor a symlink, or cannot
// be reached.
var other = &version{Sum: "?"}

func (e *engine) at(p string) *version {
	v, err := look(e.root, p)
	if err != nil && !isNotDir(err) {
		return other
	}
	return v
}

func (e *engine) backOnce(en *entry, images *store.Store) (kept bool, err error) {
	p, t := string(en.Path), string(en.Temp)
	now, tmp := e.at(p), e.at(t)
	if s := e.at(t + aside); s != nil {
		if err := gone(e.root.Remove(t)); err != nil {
			return false, err
		}
		t, tmp = t+aside, s
		if now.same(en.Post) { // it replaced nothing in one step: clear the place
			if err := e.root.Remove(p); err != nil {
				return false, err
			}
			now = nil
		}
	}
	switch {
	case tmp == nil && en.Pre == nil && now.same(en.Post) && now != nil:
		return e.unput(en)
	case tmp == nil:
		return false, nil // not moved yet, or back already
	case en.Post != nil && tmp.same(en.Post):
		return false, gone(e.root.Remove(t)) // not put yet
	case now == nil:
		if _, err := e.root.MkdirAll(path.Dir(p)); err != nil {
			return true, e.save(en, t)
		}
		return false, moveNew(e.root, t, p)
	case en.Post != nil && now.same(en.Post):
		if err := e.exchange(t, p); err != nil {
			return false, err
		}
		return e.drop(en, t, en.Post)
	case tmp.same(en.Pre) && images.Has(tmp.Sum):
		kept, err := e.drop(en, t, en.Pre)
		return kept || !now.same(en.Pre), err // a person's newer version is there
	}
	return true, e.save(en, t)
}

// drop removes a version that has lost its place, unless somebody has changed
// it, or may yet: then it is saved beside.
func (e *engine) drop(en *entry, t string, want *version) (saved bool, err error) {
	if !tree.IsSymlink(want.Mode) {
		f, err := e.root.Open(t)
		if err != nil {
			return false, err
		}
		defer f.Close()
		if !quiet(f) {
			return true, e.save(en, t)
		}
	}
	if !e.at(t).same(want) {
		return true, e.save(en, t)
	}
	return false, gone(e.root.Remove(t))
}

// quiet waits a moment for those that write to an open file to end.
func quiet(f *os.File) bool {
	for range 50 {
		if !tree.BeingWritten(f) {
			return true
		}
		<-time.After(2 * time.Millisecond)
	}
	return false
}

// unput takes a new file away again, unless it was edited at that very moment.
func (e *engine) unput(en *entry) (kept bool, err error) {
	p, t := string(en.Path), string(en.Temp)
	if err := moveNew(e.root, p, t); err != nil {
		return false, err
	}
	if !e.at(t).same(en.Post) {
		return true, moveNew(e.root, t, p)
	}
	return e.drop(en, t, en.Post)
}

// save puts a version that has lost its place beside it, under a name of its
// own: nobody's bytes are thrown away.
func (e *engine) save(en *entry, t string) error {
	near, _, _ := nearest(e.root, string(en.Path))
	return moveNew(e.root, t, path.Join(near, path.Base(string(en.Path))+".countersign-saved-"+e.j.ID))
}
