package stage

import (
	"context"
	"errors"
	"io/fs"
	"maps"
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

// A snapshot is looked through for what the agent has changed instead of watched,
// which costs every read a tenth: often while something changes, at last seldom.
const (
	often  = time.Second
	seldom = 10 * time.Second
)

// On whose directory a watch stands.
const (
	onReal    layer.Side = iota // the person's tree
	onNew                       // a directory there that nobody has carried in, or one handled as a whole
	onVault                     // a denied directory there
	onTree                      // an overlay's upper directory
	onRealGit                   // a real git directory
)

// carrier is a running Watch.
type carrier struct {
	s    *Staging
	w    *layer.Watcher
	on   func(Event)
	look survey.Sentry
	wake chan struct{} // something is noted

	mu  sync.Mutex // guards now and told
	now noted
	// told are the denied paths that the event itself was told for, and what they
	// were then.
	told map[string]layer.Stamp

	first chan string // paths the agent has just touched in an overlay

	noted // what a flush deals with
	// linked are files with more names than one. They wait for the end of a
	// batch: one of their names may be a denied one.
	linked []string
}

// noted is what waits for the tree to be quiet.
type noted struct {
	dirty map[string]bool // paths of the real tree to be looked at
	saves map[string]bool // paths the agent has touched
	git   bool            // a real git directory changed
	all   bool            // events were lost: look at everything
}

func nothing() noted { return noted{dirty: map[string]bool{}, saves: map[string]bool{}} }

func (n *noted) pending() bool { return len(n.dirty)+len(n.saves) > 0 || n.git || n.all }

// Conflicts lists the paths that a person and the agent both changed.
func (s *Staging) Conflicts() []string {
	return s.base.Conflicts()
}

// Watch carries a person's edits into the layer until ctx ends or Close: within a second,
// whole, and only where the agent has not changed the same path. A denied name
// is reported, its content never copied. In an overlay the kernel itself shows
// most edits; one that the upper directory or what the kernel has cached hides is
// copied in, and a denied name is reported on the event that brings it, whatever
// else is going on. onEvent is called from two goroutines.
func (s *Staging) Watch(ctx context.Context, onEvent func(Event)) error {
	s.watching.Lock()
	defer s.watching.Unlock()
	if s.watched.Err() != nil {
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(s.watched, stop)()
	w, err := layer.NewWatcher()
	if err != nil {
		return err
	}
	c := &carrier{s: s, w: w, on: onEvent, wake: make(chan struct{}, 1), first: make(chan string, 4096), now: nothing(), told: map[string]layer.Stamp{}}
	c.now.git, c.now.all = true, true
	c.look = survey.Sentry{Names: s.names, Real: s.real, Watch: w, Denied: c.deniedAtOnce, Shown: s.shown, New: onNew, Vault: onVault}
	c.watchAll(ctx)
	var noting sync.WaitGroup
	noting.Go(func() {
		for rel := range c.first {
			s.base.First.See(s.base, rel)
		}
	})
	ended := make(chan struct{})
	go c.read(ctx, ended)
	defer func() {
		w.Close()
		<-ended
		noting.Wait()
	}()
	c.flush(ctx) // what happened before the watches stood
	return c.loop(ctx, ended)
}

// read takes the events in as they come: nothing that a flush does delays it.
func (c *carrier) read(ctx context.Context, ended chan<- struct{}) {
	defer close(ended)
	defer close(c.first)
	buf := make([]byte, 1<<16)
	for {
		list, err := c.w.Read(buf)
		if err != nil || ctx.Err() != nil {
			return
		}
		for _, e := range list {
			c.see(ctx, e)
		}
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

func (c *carrier) loop(ctx context.Context, ended <-chan struct{}) error {
	var quiet, late <-chan time.Time
	look := time.NewTimer(often)
	defer look.Stop()
	every := often
	for {
		select {
		case <-ctx.Done():
			return c.end()
		case <-ended:
			return c.end()
		case <-c.wake:
			if c.waiting() {
				quiet = time.After(settle)
				if late == nil {
					late = time.After(patience)
				}
				if every > often { // who edits may come to what the agent edits
					every = often
					look.Reset(every)
				}
			}
			continue
		case <-look.C:
			every = c.lookThrough(ctx, every)
			look.Reset(every)
			continue
		case <-quiet:
		case <-late:
		}
		quiet, late = nil, nil
		if c.flush(ctx); c.waiting() {
			quiet = time.After(patience)
		}
	}
}

func (c *carrier) waiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now.pending()
}

func (c *carrier) end() error {
	if c.s.watched.Err() != nil {
		return nil // what comes then looks through and stores it
	}
	c.lookThrough(context.Background(), often)
	c.s.op.Lock()
	defer c.s.op.Unlock()
	return c.s.store()
}

// see deals with what must not wait, and notes the rest.
func (c *carrier) see(ctx context.Context, e layer.Seen) {
	switch e.Side {
	case onReal, onNew:
		c.look.See(ctx, e)
	case onVault:
		if rule, denied := c.s.names.Within(e.Rel); denied {
			c.look.SeeVault(ctx, e, rule)
		}
	case onTree:
		if e.Mask&unix.IN_ISDIR != 0 && e.Mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0 && !c.s.base.Places[e.Path()] {
			c.watchBelow(ctx, onTree, c.s.tree, e.Path()) // the kernel copies a file into it at once
		}
		c.watchFile(e.Path())
		if c.s.meta.Backend == Overlay && e.Mask&unix.IN_ISDIR == 0 && e.Name != "" {
			select {
			case c.first <- e.Path():
			default: // the flush takes it down
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.note(e)
}

func (n *noted) note(e layer.Seen) {
	switch {
	case e.Mask&unix.IN_Q_OVERFLOW != 0:
		n.all = true
	case e.Name == "" && (e.Side != onReal || e.Mask&unix.IN_ISDIR != 0):
	case e.Side == onReal:
		if e.Name != ".git" && !survey.Temporary(e.Name) { // a repository's own; git's watches see to those known
			n.dirty[e.Path()] = true
		}
	case e.Side == onTree:
		if e.Mask&unix.IN_ISDIR == 0 {
			n.saves[e.Path()] = true
		}
	case e.Side == onRealGit:
		n.git = n.git || !strings.HasSuffix(e.Name, ".lock")
	}
}

// watchAll sets the watches on every directory that is not bulky.
func (c *carrier) watchAll(ctx context.Context) {
	s := c.s
	c.watchBelow(ctx, onReal, s.real, "")
	if s.meta.Backend == Overlay {
		c.watchBelow(ctx, onTree, s.tree, "")
		for rel := range s.base.All() {
			c.watchFile(rel)
		}
	}
	for _, d := range s.git.RealDirs() {
		c.w.AddPath(d, layer.Place{Side: onRealGit, Rel: d})
	}
	if c.w.Full() {
		c.on(Event{Kind: Failed, Text: "not every directory can be watched: raise fs.inotify.max_user_watches; edits there reach the session at its next start"})
	}
}

func (c *carrier) watchBelow(ctx context.Context, on layer.Side, r *layer.Root, dir string) {
	add := c.w.Add
	if on == onNew || on == onReal && c.s.meta.Backend == Overlay { // what lies there is read from inside
		add = c.w.AddNames
	}
	if add(r, layer.Place{Side: on, Rel: dir}) != nil {
		return
	}
	r.Walk(ctx, dir, func(it layer.Item) bool {
		if on == onTree {
			c.watchFile(it.Rel)
		}
		if it.Format() != unix.S_IFDIR || path.Base(it.Rel) == ".git" || survey.Temporary(it.Rel) {
			return false
		}
		if on != onTree {
			if rule, _, denied := c.s.names.Denied(&it); denied {
				c.look.Guard(ctx, it.Rel, rule)
				return false
			}
		}
		if e := c.s.base.Get(it.Rel); e != nil && (e.Kind == base.Bulk || e.Kind == base.Attach || e.Kind == base.Vault) {
			if e.Kind == base.Attach && on == onReal { // shown as it is and not carried: denied names alone count
				c.watchBelow(ctx, onNew, r, it.Rel)
			}
			return false
		}
		return add(r, layer.Place{Side: on, Rel: it.Rel}) == nil
	}, nil)
}

// watchFile watches what the real file holds, of a path that the base or the
// agent has: an overlay's directories are watched for names alone.
func (c *carrier) watchFile(rel string) {
	if c.s.meta.Backend == Overlay {
		c.w.AddFile(c.s.real, layer.Place{Side: onReal, Rel: rel})
	}
}

// flush deals with everything noted.
func (c *carrier) flush(ctx context.Context) {
	s := c.s
	c.mu.Lock()
	c.noted, c.now = c.now, nothing()
	c.mu.Unlock()
	s.op.Lock()
	if s.meta.Backend == Overlay {
		s.base.First.Take(ctx, s.base, slices.Collect(maps.Keys(c.saves)))
	}
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
	if c.git {
		c.syncGit(ctx)
	}
}

func (c *carrier) syncGit(ctx context.Context) {
	moved, told, err := c.s.git.Sync(ctx)
	if errors.Is(err, fs.ErrExist) { // a lock file: git inside is at work
		c.mu.Lock()
		c.now.git = true
		c.mu.Unlock()
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

// compareAll marks every path at which the real tree is not what the base says.
func (c *carrier) compareAll(ctx context.Context) {
	s := c.s
	here := map[string]bool{}
	var mu sync.Mutex
	s.real.Walk(ctx, "", func(it layer.Item) bool {
		if survey.Temporary(it.Rel) {
			return false
		}
		rule, _, denied := s.names.Denied(&it)
		if denied && it.Format() == unix.S_IFDIR {
			c.look.Guard(ctx, it.Rel, rule)
		}
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
		c.s.base.KeepChanged(ctx)
	}
	for rel, e := range s.base.All() {
		if !here[rel] && e.Kind != base.Bulk && e.Kind != base.Attach && !s.base.InBulk(rel) {
			c.dirty[rel] = true
		}
	}
}

// lookThrough saves the base of what the agent has changed in a snapshot, and
// says when to look again.
func (c *carrier) lookThrough(ctx context.Context, every time.Duration) time.Duration {
	if c.s.meta.Backend != Snapshot {
		return seldom
	}
	began := time.Now()
	c.s.op.Lock()
	found := c.s.base.KeepChanged(ctx)
	c.s.op.Unlock()
	if every *= 2; found {
		every = often
	}
	return max(min(every, seldom), 100*time.Since(began))
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
				c.linked = append(append(c.linked, rel), c.s.base.OtherNames(&layer.Item{Rel: rel, St: st})...)
			}
			continue
		}
		below, err := c.carry(ctx, rel, ignored)
		if err != nil {
			c.on(Event{Kind: Failed, Path: rel, Error: err, Text: "the edit could not be carried into the session"})
		}
		c.watchFile(rel)
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
