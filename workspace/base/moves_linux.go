package base

import (
	"context"
	"path"
	"sort"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/workspace/layer"
	"github.com/countersign/countersign/workspace/tree"
)

// Move is a denied file's placeholder that no longer lies where it was put; one
// without To is gone. Why says why the file cannot go where its placeholder went;
// "" is a move that is among the changes.
type Move struct{ From, To, Why string }

// moves tells the placeholders that went elsewhere with a directory, and makes
// changes of those whose files may follow.
func (d *diffing) moves() (all []Move, list []tree.Change) {
	for rel, e := range d.b.All() {
		switch {
		case e.Kind != Denied && e.Kind != Vault:
		case d.moved[rel] != "":
			m := Move{From: rel, To: d.moved[rel]}
			c, why := d.b.follow(m, e)
			if m.Why = why; why == "" {
				list = append(list, c)
			}
			all = append(all, m)
		case !d.seen[rel]:
			all = append(all, Move{From: rel})
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].From < all[j].From })
	return all, list
}

// follow makes the change that a denied file follows its placeholder. What an agent
// does to names must not take a file out from under the rule that denies it: its
// own name stays, and is denied in the new place too. A file that is denied for
// what else its inode is called stays where it is.
func (b *Base) follow(m Move, e *Entry) (c tree.Change, why string) {
	st, err := b.Real.Lstat(m.From)
	id, born := b.Real.Born(m.From)
	from, to := layer.Item{Rel: m.From, St: st}, layer.Item{Rel: m.To, St: st}
	switch {
	case err != nil || id != layer.IDOf(&st) || (e.Kind == Vault) != (from.Format() == unix.S_IFDIR):
		return c, "is gone outside, or is something else there now"
	case path.Base(m.From) != path.Base(m.To):
		return c, "has another name there, which no rename of a directory gives"
	case !b.denied(&from):
		return c, "is denied as another name of " + e.Alias
	case !b.denied(&to):
		return c, "would not be denied by its name there"
	}
	mode := uint32(tree.ModeFile)
	switch from.Format() {
	case unix.S_IFDIR:
		mode = tree.ModeDir
	case unix.S_IFLNK:
		mode = tree.ModeSymlink
	}
	return tree.Move(m.From, m.To, tree.InodeName(id.Ino, born), mode), ""
}

// stands tells that an item is the placeholder that e is the base of, wherever it
// is now, and not a later file that the file system gave the number of one that is
// gone: that is born after the placeholder was put down.
func (e *Entry) stands(in *layer.Root, it *layer.Item) bool {
	if e == nil || e.Snap.Ino == 0 || e.Snap.Ino != it.St.Ino {
		return false
	}
	_, born := in.Born(it.Rel)
	return born <= e.Snap.CTime
}

// At is where the placeholder of a denied path stands in the staged tree: with a
// directory above it, the agent may have given it another. Where there is none it
// belongs at its own path.
func (b *Base) At(rel string) string {
	e := b.Get(rel)
	if e == nil || e.Snap.Ino == 0 || e.Kind != Denied && e.Kind != Vault {
		return rel
	}
	if st, err := b.Tree.Lstat(rel); err == nil && e.stands(b.Tree, &layer.Item{Rel: rel, St: st}) {
		return rel
	}
	at := rel
	var mu sync.Mutex
	b.Tree.Walk(context.Background(), "", func(it layer.Item) bool {
		if e.stands(b.Tree, &it) {
			mu.Lock()
			defer mu.Unlock()
			at = it.Rel
		}
		return it.Format() == unix.S_IFDIR && !b.Places[it.Rel]
	}, nil)
	return at
}

// Rekey makes what is the base of one path that of another, as a denied file moves
// to where its placeholder is, or back from there.
func (b *Base) Rekey(from, to string) {
	b.found = nil
	if e := b.Get(from); e != nil && (e.Kind == Denied || e.Kind == Vault) && b.Get(to) == nil {
		b.Set(from, nil)
		b.Set(to, e)
		if b.moving == nil {
			b.moving = map[string]string{}
		}
		b.moving[from], b.moving[to] = to, to
	}
}

// Waits tells that a path is one of a move for which the base stands ready, and
// that the real file is not there yet: what is seen of it before is no edit.
func (b *Base) Waits(rel string) bool {
	to, moving := b.moving[rel]
	if !moving {
		return false
	}
	if _, err := b.Real.Lstat(to); err != nil {
		return true
	}
	delete(b.moving, rel)
	return false
}
