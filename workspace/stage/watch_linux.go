package stage

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/countersign/countersign/workspace/base"
	"github.com/countersign/countersign/workspace/layer"
	"github.com/countersign/countersign/workspace/survey"
	"golang.org/x/sys/unix"
)

// settle is how long the tree has to be quiet before edits are carried in, and
// patience how long a busy one is waited for: an editor's save is several calls,
// a checkout thousands.
const (
	settle   = 40 * time.Millisecond
	patience = 400 * time.Millisecond
)

// On whose directory a watch stands.
const (
	onReal    layer.Side = iota // the person's tree
	onTree                      // the staged tree
	onRealGit                   // a real git directory
	onOwnGit                    // a session's git directory
)

// carrier is a running Watch.
type carrier struct {
	s     *Staging
	w     *layer.Watcher
	on    func(Event)
	dirty map[string]bool // paths of the real tree to be looked at
	saves map[string]bool // paths the agent has touched
	git   bool            // a real git directory changed
	conf  bool            // a session's git configuration changed
	all   bool            // events were lost: look at everything
	// linked are files with more names than one. They wait for the end of a
	// batch: one of their names may be a denied one.
	linked []string
}

// Conflicts lists the paths that a person and the agent both changed.
func (s *Staging) Conflicts() []string {
	return s.base.Conflicts()
}

// Watch carries a person's edits into the layer until ctx ends: within a second,
// whole, and only where the agent has not changed the same path. A denied name
// is reported, its content never copied. In an overlay the kernel itself shows
// the edit, once it has let go of what it had cached; then only conflicts,
// denied names and git are layer.Seen to. onEvent is called from one goroutine.
func (s *Staging) Watch(ctx context.Context, onEvent func(Event)) error {
	w, err := layer.NewWatcher()
	if err != nil {
		return err
	}
	defer w.Close()
	c := &carrier{s: s, w: w, on: onEvent, dirty: map[string]bool{}, saves: map[string]bool{}, git: true, conf: true, all: true}
	c.watchAll(ctx)
	events := make(chan []layer.Seen)
	go func() {
		defer close(events)
		buf := make([]byte, 1<<16)
		for {
			list, err := w.Read(buf)
			if err != nil {
				return
			}
			select {
			case events <- list:
			case <-ctx.Done():
				return
			}
		}
	}()
	c.flush(ctx) // what happened before the watches stood
	return c.loop(ctx, events)
}

func (c *carrier) loop(ctx context.Context, events <-chan []layer.Seen) error {
	var quiet, late <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return c.end()
		case list, ok := <-events:
			if !ok {
				return c.end()
			}
			for _, e := range list {
				c.note(e)
			}
			if c.pending() {
				quiet = time.After(settle)
				if late == nil {
					late = time.After(patience)
				}
			}
			continue
		case <-quiet:
		case <-late:
		}
		quiet, late = nil, nil
		if c.flush(ctx); c.pending() {
			quiet = time.After(patience)
		}
	}
}

func (c *carrier) end() error {
	c.s.op.Lock()
	defer c.s.op.Unlock()
	return c.s.store()
}

func (c *carrier) pending() bool {
	return len(c.dirty)+len(c.saves) > 0 || c.git || c.conf || c.all
}

func (c *carrier) note(e layer.Seen) {
	switch {
	case e.Mask&unix.IN_Q_OVERFLOW != 0:
		c.all = true
	case e.Name == "":
	case e.Side == onReal:
		if e.Name == ".git" || survey.Temporary(e.Name) {
			return // a repository's own; git's watches see to those known
		}
		c.dirty[e.Path()] = true
	case e.Side == onTree:
		if e.Mask&unix.IN_ISDIR != 0 {
			if e.Mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0 && !c.s.base.Places[e.Path()] {
				c.w.Add(c.s.tree, layer.Place{Side: onTree, Rel: e.Path()})
			}
			return
		}
		c.saves[e.Path()] = true
	case e.Side == onRealGit:
		if !strings.HasSuffix(e.Name, ".lock") {
			c.git = true
		}
	case e.Side == onOwnGit:
		c.conf = c.conf || e.Name == "config"
	}
}

// watchAll sets the watches on every directory that is not bulky.
func (c *carrier) watchAll(ctx context.Context) {
	s := c.s
	c.watchBelow(ctx, onReal, s.real, "")
	c.watchBelow(ctx, onTree, s.tree, "")
	for _, d := range s.git.RealDirs() {
		c.w.AddPath(d, layer.Place{Side: onRealGit, Rel: d})
	}
	for _, d := range s.git.GitDirs() {
		c.w.AddPath(d, layer.Place{Side: onOwnGit, Rel: d})
	}
	if c.w.Full() {
		c.on(Event{Kind: Failed, Text: "not every directory can be watched: raise fs.inotify.max_user_watches; edits there reach the session at its next start"})
	}
}

func (c *carrier) watchBelow(ctx context.Context, on layer.Side, r *layer.Root, dir string) {
	if c.w.Add(r, layer.Place{Side: on, Rel: dir}) != nil {
		return
	}
	r.Walk(ctx, dir, func(it layer.Item) bool {
		if it.Format() != unix.S_IFDIR || path.Base(it.Rel) == ".git" || survey.Temporary(it.Rel) || c.s.bulky(it.Rel) {
			return false
		}
		return c.w.Add(r, layer.Place{Side: on, Rel: it.Rel}) == nil
	}, nil)
}

// bulky tells whether a directory is handled as a whole, or denied.
func (s *Staging) bulky(rel string) bool {
	e := s.base.Get(rel)
	return e != nil && (e.Kind == base.Bulk || e.Kind == base.Attach || e.Kind == base.Vault)
}

// flush deals with everything noted.
func (c *carrier) flush(ctx context.Context) {
	s := c.s
	s.op.Lock()
	for rel := range c.saves {
		e := s.base.Get(rel)
		if st, err := s.tree.Lstat(rel); e != nil && (err != nil || e.Snap != layer.StampOf(&st)) {
			s.base.Keep(rel, e)
		}
	}
	if c.all {
		c.compareAll(ctx)
	}
	rels := make([]string, 0, len(c.dirty))
	for rel := range c.dirty {
		rels = append(rels, rel)
	}
	sort.Strings(rels)
	for len(rels) > 0 && ctx.Err() == nil {
		rels = c.carryAll(ctx, rels, false)
	}
	sort.Strings(c.linked)
	linked := slices.Compact(c.linked) // by now every denied name that one of them could be is known
	c.linked = nil
	c.carryAll(ctx, linked, true)
	if s.base.Dirty() {
		if err := s.store(); err != nil {
			c.on(Event{Kind: Failed, Error: err, Text: "the base of the layer cannot be written"})
		}
	}
	s.op.Unlock()
	git, conf := c.git, c.conf
	c.dirty, c.saves, c.all, c.git, c.conf = map[string]bool{}, map[string]bool{}, false, false, false
	if git {
		c.syncGit(ctx)
	}
	if conf {
		c.guard(ctx)
	}
}

func (c *carrier) syncGit(ctx context.Context) {
	moved, told, err := c.s.git.Sync(ctx)
	if errors.Is(err, fs.ErrExist) { // a lock file: git inside is at work
		c.git = true
		return
	}
	if err != nil && ctx.Err() == nil {
		c.on(Event{Kind: Failed, Error: err, Text: "the session's git could not follow the real one"})
		return
	}
	if moved {
		c.on(Event{Kind: Branch, Text: strings.Join(told, "; ")})
	}
}

func (c *carrier) guard(ctx context.Context) {
	keys, err := c.s.git.GuardConfig(ctx)
	for _, k := range keys {
		c.on(Event{Kind: GitRefused, Text: k})
	}
	if err != nil && ctx.Err() == nil {
		c.on(Event{Kind: Failed, Error: err, Text: "a session's git configuration cannot be checked"})
	}
}

// compareAll marks every path at which the real tree is not what the base says.
func (c *carrier) compareAll(ctx context.Context) {
	s := c.s
	here := map[string]bool{}
	var mu sync.Mutex
	s.real.Walk(ctx, "", func(it layer.Item) bool {
		if survey.Temporary(it.Rel) {
			return false
		}
		_, _, denied := s.names.Denied(&it)
		mu.Lock()
		defer mu.Unlock()
		here[it.Rel] = true
		e := s.base.Get(it.Rel)
		if path.Base(it.Rel) == ".git" {
			return false
		}
		if e == nil || it.Format() != unix.S_IFDIR && e.Real != layer.StampOf(&it.St) {
			if e == nil && !denied && s.meta.Backend == Overlay {
				return it.Format() == unix.S_IFDIR // the kernel shows it
			}
			c.dirty[it.Rel] = true
		}
		return !denied && it.Format() == unix.S_IFDIR && (e == nil && s.meta.Backend == Overlay || e != nil && e.Kind == base.Dir)
	}, nil)
	if s.meta.Backend == Snapshot {
		c.touched(ctx)
	}
	for rel, e := range s.base.All() {
		if !here[rel] && e.Kind != base.Bulk && e.Kind != base.Attach && !s.inBulk(rel) {
			c.dirty[rel] = true
		}
	}
}

// touched saves the base of what the agent changed before anybody watched.
func (c *carrier) touched(ctx context.Context) {
	s := c.s
	s.tree.Walk(ctx, "", func(it layer.Item) bool {
		e := s.base.Get(it.Rel)
		if e != nil && e.Kind == base.File && e.Snap != layer.StampOf(&it.St) {
			s.base.Keep(it.Rel, e)
		}
		return it.Format() == unix.S_IFDIR && e != nil && e.Kind == base.Dir
	}, nil)
}

func (s *Staging) inBulk(rel string) bool {
	for d := layer.Parent(rel); d != ""; d = layer.Parent(d) {
		if e := s.base.Get(d); e != nil && (e.Kind == base.Bulk || e.Kind == base.Attach) {
			return true
		}
	}
	return false
}

// carryAll carries paths in and returns those found below new directories.
func (c *carrier) carryAll(ctx context.Context, rels []string, last bool) (more []string) {
	ignored := c.newIgnored(ctx, rels)
	for _, rel := range rels {
		if ctx.Err() != nil {
			return nil
		}
		if !last && c.s.hardLinked(rel) {
			if st, err := c.s.real.Lstat(rel); err == nil { // a write through one name is an event of that name alone
				c.linked = append(append(c.linked, rel), c.s.otherNames(&layer.Item{Rel: rel, St: st})...)
			}
			continue
		}
		below, err := c.carry(ctx, rel, ignored)
		if err != nil {
			c.on(Event{Kind: Failed, Path: rel, Error: err, Text: "the edit could not be carried into the session"})
		}
		more = append(more, below...)
	}
	return more
}

// newIgnored asks git which of the paths the base does not know are ignored.
func (c *carrier) newIgnored(ctx context.Context, rels []string) map[string]bool {
	var ask []string
	for _, rel := range rels {
		if c.s.base.Get(rel) != nil {
			continue
		}
		if st, err := c.s.real.Lstat(rel); err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			rel += "/"
		}
		ask = append(ask, rel)
	}
	if len(ask) == 0 {
		return nil
	}
	ig, _ := c.s.base.Ignored(ctx, c.s.opts.Project.Root, ask) // in doubt it is carried in
	return ig
}
