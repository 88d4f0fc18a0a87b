package base

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/workspace/layer"
)

// firsts takes down what the real tree had when the agent first changed a path of
// an overlay, at once: a person may edit it a moment later, and that edit must
// not be taken for what the agent started from. Its methods may be called from
// several goroutines.
type firsts struct {
	mu   sync.Mutex
	m    map[string]first
	held int // bytes of data
}

type first struct {
	e    *Entry
	data []byte // small files
}

// Bounds on what is held between two of See and Take.
const (
	maxFirst  = 64 << 10
	maxFirsts = 16 << 20
)

// See takes a path down that has no base yet.
func (f *firsts) See(b *Base, rel string) {
	f.mu.Lock()
	_, known := f.m[rel]
	room := f.held < maxFirsts
	f.mu.Unlock()
	if known || b.Get(rel) != nil {
		return
	}
	e := b.now(rel)
	if e == nil {
		return
	}
	x := first{e: e}
	if e.Kind == File && e.Real.Size <= maxFirst && room {
		if data, err := b.Real.ReadFile(rel); err == nil && sha256.Sum256(data) == e.Sum {
			x.data = data
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.m == nil {
		f.m = map[string]first{}
	}
	f.m[rel] = x
	f.held += len(x.data)
}

// Take makes bases of what was seen, and of those of rels that were not. What git
// ignores has none.
func (f *firsts) Take(ctx context.Context, b *Base, rels []string) {
	f.mu.Lock()
	seen := f.m
	f.m, f.held = nil, 0
	f.mu.Unlock()
	for _, rel := range rels {
		if _, err := b.Real.Lstat(rel); err == nil && b.Get(rel) == nil && seen[rel].e == nil {
			if seen == nil {
				seen = map[string]first{}
			}
			seen[rel] = first{e: b.now(rel)}
		}
	}
	var ask []string
	for rel, x := range seen {
		if x.e != nil && b.Get(rel) == nil {
			ask = append(ask, rel)
		}
	}
	if len(ask) == 0 {
		return
	}
	ig, err := b.Ignored(ctx, b.Project.Root, ask)
	if err != nil {
		return
	}
	for _, rel := range ask {
		if !ig[rel] {
			b.Set(rel, seen[rel].e)
			b.keepFirst(rel, seen[rel])
		}
	}
}

// keepFirst stores the bytes of a base.
func (b *Base) keepFirst(rel string, x first) {
	name := hex.EncodeToString(x.e.Sum[:])
	if _, err := b.Saved.Lstat(name); err == nil {
		return
	}
	if x.data == nil {
		b.Keep(rel, x.e)
		return
	}
	tmp := layer.TempName()
	if b.Tmp.WriteNew(tmp, x.data, 0o600) != nil || b.Tmp.Rename(tmp, b.Saved, name) != nil {
		b.Tmp.Unlink(tmp)
	}
}

// now is what the real tree has at rel, as a base; nil if that is no file.
func (b *Base) now(rel string) *Entry {
	st, err := b.Real.Lstat(rel)
	if f := st.Mode & unix.S_IFMT; err != nil || f != unix.S_IFREG && f != unix.S_IFLNK {
		return nil
	}
	sum, err := b.Real.Sum(rel, st.Mode)
	if err != nil {
		return nil
	}
	return entryOf(&st, sum)
}

// entryOf is the base that a real file or link makes, without a stamp of the
// staged one.
func entryOf(st *unix.Stat_t, sum [32]byte) *Entry {
	e := &Entry{Kind: File, Mode: st.Mode, Real: layer.StampOf(st), Sum: sum}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		e.Kind = Link
	}
	return e
}
