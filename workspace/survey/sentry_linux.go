package survey

import (
	"context"
	"path"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/workspace/layer"
)

// Sentry looks at each event of the real tree as it comes, before anything waits
// for the tree to be quiet: what is denied is told of at once. It belongs to the
// goroutine that reads the watcher.
type Sentry struct {
	Names *Names
	Real  *layer.Root
	Watch *layer.Watcher
	// Denied is called for a path that is denied now. alias is the denied path it
	// is another name of, or empty.
	Denied func(it *layer.Item, rule, alias string)
	// Shown tells whether what the real tree has at rel shows inside at once: only
	// there is anything told, and are new directories looked through.
	Shown func(rel string) bool
	// New and Vault are the sides on which watches are set: of directories nobody
	// has looked at yet, and of denied ones.
	New, Vault layer.Side

	from map[uint32]secret // denied names that were moved away, by the rename's cookie
}

// maxMoves bounds the renames whose other half is waited for: it follows at once,
// or never.
const maxMoves = 256

// See looks at an event of the real tree, outside denied directories.
func (s *Sentry) See(ctx context.Context, e layer.Seen) {
	rel, dir := e.Path(), e.Mask&unix.IN_ISDIR != 0
	if e.Name == "" || e.Name == ".git" || Temporary(e.Name) {
		return
	}
	switch {
	case e.Mask&unix.IN_MOVED_FROM != 0:
		if rule, denied := s.Names.denied((&layer.Item{Rel: rel, St: unix.Stat_t{Mode: format(dir)}}).Name()); denied {
			s.movedFrom(e.Cookie, secret{rel: rel, rule: rule})
		}
	case e.Mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0:
		s.came(ctx, rel, e.Cookie)
	}
}

// SeeVault looks at an event in a denied directory, or below one: what comes to
// lie there is remembered.
func (s *Sentry) SeeVault(ctx context.Context, e layer.Seen, rule string) {
	if e.Name == "" {
		return
	}
	rel := e.Path()
	if e.Mask&unix.IN_MOVED_FROM != 0 {
		s.movedFrom(e.Cookie, secret{rel: rel, rule: rule})
		return
	}
	st, err := s.Real.Lstat(rel)
	if err != nil {
		return
	}
	it := &layer.Item{Rel: rel, St: st}
	s.Names.Content(it, rule)
	if it.Format() == unix.S_IFDIR && e.Mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0 {
		s.Guard(ctx, rel, rule)
	}
}

// Guard watches a denied directory and remembers what lies in it.
func (s *Sentry) Guard(ctx context.Context, dir, rule string) {
	s.Watch.Add(s.Real, layer.Place{Side: s.Vault, Rel: dir})
	s.Names.Inside(ctx, dir, rule, func(rel string) { s.Watch.Add(s.Real, layer.Place{Side: s.Vault, Rel: rel}) })
}

func (s *Sentry) movedFrom(cookie uint32, was secret) {
	if len(s.from) >= maxMoves || s.from == nil {
		s.from = map[uint32]secret{}
	}
	s.from[cookie] = was
}

// came looks at a name that is new.
func (s *Sentry) came(ctx context.Context, rel string, cookie uint32) {
	st, err := s.Real.Lstat(rel)
	if err != nil {
		return // gone again; if it was moved, its next name is told
	}
	it := &layer.Item{Rel: rel, St: st}
	if was, moved := s.from[cookie]; moved && cookie != 0 {
		delete(s.from, cookie)
		s.Names.Remember(it, was.rel, was.rule)
	}
	if s.check(ctx, it) || it.Format() != unix.S_IFDIR || !s.Shown(rel) {
		return
	}
	if s.Watch.Add(s.Real, layer.Place{Side: s.New, Rel: rel}) != nil {
		return
	}
	s.Real.Walk(ctx, rel, func(it layer.Item) bool {
		if path.Base(it.Rel) == ".git" || Temporary(it.Rel) || s.check(ctx, &it) {
			return false
		}
		return it.Format() == unix.S_IFDIR && s.Watch.Add(s.Real, layer.Place{Side: s.New, Rel: it.Rel}) == nil
	}, nil)
}

// check tells of a path if it is denied.
func (s *Sentry) check(ctx context.Context, it *layer.Item) bool {
	rule, alias, denied := s.Names.Denied(it)
	if !denied {
		return false
	}
	if s.Shown(it.Rel) {
		s.Denied(it, rule, alias)
	}
	of := alias
	if of == "" {
		of = it.Rel
	}
	s.Names.Remember(it, of, rule)
	if it.Format() == unix.S_IFDIR {
		s.Guard(ctx, it.Rel, rule)
	}
	return true
}

func format(dir bool) uint32 {
	if dir {
		return unix.S_IFDIR
	}
	return unix.S_IFREG
}
