package survey

import (
	"context"
	"path"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/workspace/layer"
	"github.com/countersign/countersign/workspace/tree"
)

// Names tells what is denied. It remembers the inode of everything that ever bore
// a denied name, or lay below one: renaming a file does not make it harmless.
type Names struct {
	real   *layer.Root
	denied func(rel string) (rule string, denied bool)
	mu     sync.Mutex
	known  map[layer.FileID]secret
	inside int // of known: content of denied directories
}

// maxInside bounds the content of denied directories that is remembered, in
// files and directories. What is beyond stays behind its directory's tripwire,
// but is not known again once it was moved out.
const maxInside = 20_000

// secret is a denied inode.
type secret struct {
	rel, rule string
	met       bool  // in the life of this process
	led       bool  // a link of a denied name leads, or led, to it
	born      int64 // tells it from a later inode of the same number; 0: not known
}

// NewNames takes the policy's word: denied gets a path below real, a directory's
// with a slash at its end, and is called from several goroutines.
func NewNames(real *layer.Root, denied func(rel string) (rule string, denied bool)) *Names {
	return &Names{real: real, denied: denied, known: map[layer.FileID]secret{}}
}

// ByName tells whether an item's own name is denied.
func (n *Names) ByName(it *layer.Item) (rule string, denied bool) { return n.denied(it.Name()) }

// Denied tells whether an item's own name is denied, or its inode as another name
// of the path alias.
func (n *Names) Denied(it *layer.Item) (rule, alias string, denied bool) {
	if rule, denied := n.denied(it.Name()); denied {
		return rule, "", true
	}
	return n.Alias(it)
}

// Below tells by which rule a directory above rel is denied by name.
func (n *Names) Below(rel string) (dir, rule string, denied bool) {
	for d := layer.Parent(rel); d != ""; d = layer.Parent(d) {
		if rule, denied := n.denied(d + "/"); denied {
			return d, rule, true
		}
	}
	return "", "", false
}

// Within tells by which rule a directory, or one above it, is denied.
func (n *Names) Within(dir string) (rule string, denied bool) {
	if _, rule, denied := n.Below(dir + "/x"); denied {
		return rule, true
	}
	st, err := n.real.Lstat(dir)
	if err != nil {
		return "", false
	}
	rule, _, denied = n.Alias(&layer.Item{Rel: dir, St: st})
	return rule, denied
}

// Alias tells whether an item is another name of something denied.
func (n *Names) Alias(it *layer.Item) (rule, of string, is bool) {
	id := layer.IDOf(&it.St)
	n.mu.Lock()
	s, known := n.known[id]
	n.mu.Unlock()
	if !known {
		return "", "", false
	}
	if s.born != 0 {
		if at, born := n.real.Born(it.Rel); at == id && born != s.born {
			return "", "", false // the number was given to another file since
		}
	}
	if !s.met {
		s.met = true
		n.mu.Lock()
		n.known[id] = s
		n.mu.Unlock()
	}
	return s.rule, s.rel, true
}

// Links lists the other names of an item's inode in the real tree, which takes a
// walk through it; none where it has but one.
func (n *Names) Links(ctx context.Context, it *layer.Item) (rels []string) {
	if it.St.Nlink < 2 || it.Format() != unix.S_IFREG {
		return nil
	}
	var mu sync.Mutex
	n.real.Walk(ctx, "", func(x layer.Item) bool {
		if layer.IDOf(&x.St) == layer.IDOf(&it.St) && x.Rel != it.Rel {
			mu.Lock()
			rels = append(rels, x.Rel)
			mu.Unlock()
		}
		return x.Format() == unix.S_IFDIR && path.Base(x.Rel) != ".git"
	}, nil)
	return rels
}

// Remember keeps the inode of something denied, as the path of.
func (n *Names) Remember(it *layer.Item, of, rule string) {
	n.keep(it, secret{rel: of, rule: rule}, false)
}

// Target keeps the inode of what a denied symbolic link leads to.
func (n *Names) Target(it *layer.Item, link, rule string) {
	n.keep(it, secret{rel: link, rule: rule, led: true}, false)
}

// Content keeps the inode of what lies at it, below a directory that rule denies.
func (n *Names) Content(it *layer.Item, rule string) {
	n.keep(it, secret{rel: it.Rel, rule: rule}, true)
}

// Inside keeps the inodes of everything below a denied directory. enter, if not
// nil, is called for each directory before it is read.
func (n *Names) Inside(ctx context.Context, dir, rule string, enter func(rel string)) {
	n.real.Walk(ctx, dir, func(it layer.Item) bool {
		n.Content(&it, rule)
		if it.Format() == unix.S_IFDIR && enter != nil {
			enter(it.Rel)
		}
		return !n.Full()
	}, nil) // what cannot be read here cannot be read inside either
}

// Full tells that a denied directory holds more than is remembered.
func (n *Names) Full() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.inside >= maxInside
}

func (n *Names) keep(it *layer.Item, as secret, inside bool) {
	if f := it.Format(); f != unix.S_IFREG && f != unix.S_IFDIR {
		return
	}
	want := layer.IDOf(&it.St)
	id, born := n.real.Born(it.Rel)
	if id != want {
		born = 0 // replaced since
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s, known := n.known[want]
	switch {
	case known && (born == 0 || s.born == born):
		s.met = true
		n.known[want] = s
		return
	case inside && n.inside >= maxInside:
		return
	case inside && !known:
		n.inside++
	}
	as.born, as.met = born, true
	n.known[want] = as
}

// Temporary tells whether a path is one that an apply is still making.
func Temporary(rel string) bool { return strings.HasPrefix(path.Base(rel), tree.TempPrefix) }
