package stage

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/atomicfile"
	"github.com/countersign/countersign/workspace/base"
	"github.com/countersign/countersign/workspace/commits"
	"github.com/countersign/countersign/workspace/gitview"
	"github.com/countersign/countersign/workspace/layer"
	"github.com/countersign/countersign/workspace/survey"
)

// Staging is one session's layer.
type Staging struct {
	opts  Options
	meta  meta
	layer string // the directory that holds everything of this layer
	lock  *os.File
	real  *layer.Root // the real tree, only read
	tree  *layer.Root // snapshot: the staged tree; overlay: its upper directory
	tmp   *layer.Root // files being made, on the layer's file system
	saved *layer.Root // base bytes by sha256

	op      sync.Mutex // held while layer and base must agree: a comparison, an edit carried in
	mu      sync.Mutex // guards trips and notes; taken after op
	base    *base.Base
	names   *survey.Names
	git     *gitview.Session
	trips   map[string]*Trip
	notes   []Note
	mounts  []countersign.Mount
	moves   []base.Move // as the last Changes found them
	commits commits.Chain
	odd     []string // as the last Changes found it, see base
	hidden  int      // ignored changed files that Changes did not list
	blank   bool     // nothing is in the staged tree yet
	closers []func()

	// Close must not overtake a Watch: that runs git, and a process has until its
	// exec all that is open here, the layer's lock too. The next session would take
	// the layer for one in use and not go on with it.
	watching sync.Mutex
	watched  context.Context // ends at Close
	unwatch  func()
}

// meta says what a layer is; layer/meta.json.
type meta struct {
	V       int       `json:"v"`
	ID      string    `json:"id"`
	Project string    `json:"project"`
	Backend string    `json:"backend"`
	Made    time.Time `json:"made"`
	Used    time.Time `json:"used"`
	Changes int       `json:"changes"` // as counted last; -1: not known
}

// New prepares the layer of a session. It continues the project's newest layer,
// or the one named by From, or with Fresh starts from the real tree.
func New(ctx context.Context, o Options) (*Staging, error) {
	o.defaults()
	s := &Staging{opts: o, layer: filepath.Join(o.SessionDir, "layer"), trips: map[string]*Trip{}}
	s.watched, s.unwatch = context.WithCancel(context.Background())
	undo, err := s.acquire()
	if err == nil {
		err = s.prepare(ctx)
	}
	if err != nil {
		s.release()
		undo()
		return nil, explain(err, o.Project.Root)
	}
	return s, nil
}

// explain turns an error of a start into one for a person.
func explain(err error, root string) error {
	var known *countersign.Error
	if errors.As(err, &known) {
		return err
	}
	e := &countersign.Error{Code: countersign.EInvalid, Op: "stage", Thing: root, Err: err}
	if layer.Full(err) {
		e.Remedy = "make room on the disk of the state directory, or set XDG_STATE_HOME to another; nothing was left behind"
	}
	return e
}

// acquire finds the layer to go on with, or makes an empty one. undo puts it
// back as it was found.
func (s *Staging) acquire() (undo func(), err error) {
	undo = func() {}
	if err := os.MkdirAll(s.projectDir(), 0o700); err != nil {
		return undo, err
	}
	if err := os.MkdirAll(s.opts.SessionDir, 0o700); err != nil {
		return undo, err
	}
	from, err := s.source()
	if err != nil {
		return undo, err
	}
	if from == s.layer {
		return undo, s.load()
	}
	if from != "" {
		if err := os.Rename(from, s.layer); errors.Is(err, os.ErrNotExist) && s.opts.From == "" {
			return s.acquire() // another session was faster
		} else if err != nil {
			return undo, err
		}
		undo = func() { os.Rename(s.layer, from) }
	} else {
		if err := os.Mkdir(s.layer, 0o700); err != nil {
			return undo, err
		}
		undo = func() { layer.Remove(s.layer) }
	}
	return undo, s.load()
}

// source names the layer to continue, "" for none.
func (s *Staging) source() (string, error) {
	if s.opts.From != "" {
		from := filepath.Join(s.opts.From, "layer")
		m, live, err := readMeta(from)
		switch {
		case err != nil:
			return "", &countersign.Error{Code: countersign.ENotFound, Op: "continue the layer of", Thing: s.opts.From, Err: err, Remedy: "countersign sessions lists those that are kept"}
		case live:
			return "", &countersign.Error{Code: countersign.EInvalid, Op: "continue the layer of", Thing: s.opts.From, Err: errors.New("its session is still running"), Remedy: "countersign stop it first, or start with --fresh"}
		case m.Project != s.opts.Project.Root:
			return "", &countersign.Error{Code: countersign.EInvalid, Op: "continue the layer of", Thing: s.opts.From, Err: errors.New("it belongs to " + m.Project)}
		}
		return from, nil
	}
	if !s.opts.Fresh {
		for _, l := range Layers(s.opts.StateDir, s.opts.Project.Root) {
			if !l.Live && l.Changes != 0 && s.fits(l.Backend) {
				return filepath.Join(l.SessionDir, "layer"), nil
			}
		}
	}
	kept := s.keptDir()
	if m, live, err := readMeta(kept); err == nil && !live && s.fits(m.Backend) && m.Project == s.opts.Project.Root {
		return kept, nil
	}
	return s.reviewed()
}

// reviewed names an ended session's layer of which nothing is left to review: as
// good as a kept one.
func (s *Staging) reviewed() (string, error) {
	for _, l := range Layers(s.opts.StateDir, s.opts.Project.Root) {
		if !l.Live && l.Changes == 0 && l.Backend == Snapshot && s.fits(l.Backend) {
			at := filepath.Join(l.SessionDir, "layer")
			return at, layer.Remove(filepath.Join(at, "git"))
		}
	}
	return "", nil
}

func (s *Staging) fits(backend string) bool {
	return s.opts.Backend == "" || s.opts.Backend == backend
}

func (s *Staging) keptDir() string {
	return filepath.Join(s.projectDir(), "kept")
}

// load opens what the layer directory holds.
func (s *Staging) load() (err error) {
	if s.lock, err = lockLayer(s.layer); err != nil {
		return err
	}
	idx := base.NewIndex()
	s.blank = true
	if m, _, err := readMeta(s.layer); err == nil {
		s.meta, s.blank = m, false
		if idx, err = base.LoadIndex(filepath.Join(s.layer, "base.idx")); err != nil {
			return err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, d := range []string{"tree", "tmp", "saved"} {
		if err := os.MkdirAll(filepath.Join(s.layer, d), 0o755); err != nil {
			return err
		}
	}
	if err := s.openRoots(); err != nil {
		return err
	}
	s.names = survey.NewNames(s.real, s.opts.Denied)
	if err := s.names.Load(s.deniedFile()); err != nil {
		return err
	}
	s.base = &base.Base{
		Index: idx, Project: s.opts.Project, Real: s.real, Tree: s.tree, Tmp: s.tmp, Saved: s.saved,
		Attached: map[string]*layer.Root{}, Places: map[string]bool{}, Denied: s.opts.Denied, Notable: s.opts.Notable,
	}
	return nil
}

func (s *Staging) openRoots() (err error) {
	for _, x := range []struct {
		at  **layer.Root
		dir string
	}{{&s.real, s.opts.Project.Root}, {&s.tree, filepath.Join(s.layer, "tree")}, {&s.tmp, filepath.Join(s.layer, "tmp")}, {&s.saved, filepath.Join(s.layer, "saved")}} {
		if *x.at, err = layer.Open(x.dir); err != nil {
			return err
		}
		s.closers = append(s.closers, (*x.at).Close)
	}
	return nil
}

func (s *Staging) release() {
	s.git.Close()
	for _, f := range s.closers {
		f()
	}
	s.closers = nil
	if s.lock != nil {
		s.lock.Close()
	}
}

// prepare brings the layer to what the real tree is now.
func (s *Staging) prepare(ctx context.Context) error {
	var git func() error
	begin := func(nested []string) {
		git = sync.OnceValue(func() error { return s.sessionGit(ctx, nested) })
		go git() // beside the files: both wait for others
	}
	defer func() { // it is over before anything is undone
		if git != nil {
			_ = git()
		}
	}()
	if _, err := os.Lstat(s.gitDir()); errors.Is(err, os.ErrNotExist) {
		begin(nil) // as most projects have it
	}
	sc, err := survey.Take(ctx, s.look())
	if err != nil {
		return err
	}
	if git != nil && len(sc.Nested) > 0 {
		_ = git()
		s.git.Close()
		if err := layer.Remove(s.gitDir()); err != nil {
			return err
		}
		git = nil
	}
	if git == nil {
		begin(sc.Nested)
	}
	if s.meta.Backend == "" {
		s.meta = meta{V: 1, ID: layer.TempName(), Project: s.opts.Project.Root, Backend: s.choose(sc), Made: s.opts.Now().UTC()}
	}
	s.base.Overlay = s.meta.Backend == Overlay
	if s.opts.From != s.opts.SessionDir { // as in Close
		s.meta.Used = s.opts.Now().UTC()
	}
	s.meta.Changes = -1
	for rel, err := range sc.Failed {
		s.notes = append(s.notes, Note{rel, "cannot be read: " + err.Error()})
	}
	if err := s.inherit(ctx); err != nil {
		return err
	}
	build := s.prepareSnapshot
	if s.meta.Backend == Overlay {
		build = s.prepareOverlay
	}
	if err = errors.Join(build(ctx, sc), git()); err == nil {
		err = s.placeGit(sc)
	}
	if err != nil {
		return err
	}
	return errors.Join(s.names.Save(s.deniedFile()), s.store())
}

func (s *Staging) deniedFile() string { return filepath.Join(s.projectDir(), "denied.json") }

func (s *Staging) projectDir() string { return ProjectDir(s.opts.StateDir, s.opts.Project.Root) }

// look says how the real tree is walked.
func (s *Staging) look() survey.Options {
	return survey.Options{Project: s.opts.Project, Real: s.real, Names: s.names, Small: s.opts.SmallFiles, Whole: func(rel string) bool {
		e := s.base.Get(rel)
		return e != nil && (e.Kind == base.Bulk || e.Kind == base.Attach)
	}}
}

func (s *Staging) choose(sc *survey.Survey) string {
	switch {
	case s.opts.Backend != "":
		return s.opts.Backend
	case sc.Files > s.opts.MaxFiles || sc.Bytes > s.opts.MaxBytes:
		return Overlay
	}
	return Snapshot
}

// store writes index and meta.
func (s *Staging) store() error {
	if err := s.base.Save(filepath.Join(s.layer, "base.idx")); err != nil {
		return err
	}
	b, err := json.Marshal(s.meta)
	if err != nil {
		return err
	}
	return atomicfile.Replace(filepath.Join(s.layer, "meta.json"), b)
}

// Mounts are what the sandbox has to mount, in this order.
func (s *Staging) Mounts() []countersign.Mount { return s.mounts }

// Backend is snapshot or overlay.
func (s *Staging) Backend() string { return s.meta.Backend }

// Git is the session's own git.
func (s *Staging) Git() *gitview.Session { return s.git }

// ReadOnly are the paths inside that the sandbox keeps from being changed; the
// mounts see to it.
func (s *Staging) ReadOnly() []string { return s.git.ReadOnly }

// Notes says what could not be staged as it is, sorted by path.
func (s *Staging) Notes() []Note {
	s.op.Lock()
	defer s.op.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.notes)
	for rel, e := range s.base.All() {
		if e.Kind == base.Closed {
			all = append(all, Note{rel, "cannot be read; an empty file without permissions stands in its place"})
		}
	}
	for _, m := range s.moves {
		if m.Why != "" {
			all = append(all, Note{m.From, "went to " + m.To + " inside; an apply leaves it where it is, for it " + m.Why})
		}
	}
	slices.SortFunc(all, func(a, b Note) int { return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Text, b.Text)) })
	return slices.Compact(all)
}

// Tripwires are the denied paths, sorted.
func (s *Staging) Tripwires() []Trip {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Trip, 0, len(s.trips))
	for _, t := range s.trips {
		all = append(all, *t)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Path < all[j].Path })
	return all
}

func (s *Staging) trip(rel, rule, alias string, st *unix.Stat_t) *Trip {
	return &Trip{
		Path: s.base.At(rel), Host: filepath.Join(s.opts.Project.Root, rel), Rule: rule, Alias: alias, Shown: s.shown(rel),
		Dir: st.Mode&unix.S_IFMT == unix.S_IFDIR, Mode: st.Mode, Size: st.Size,
		MTime: time.Unix(st.Mtim.Unix()), CTime: time.Unix(st.Ctim.Unix()), ATime: time.Unix(st.Atim.Unix()),
		Ino: st.Ino, Nlink: uint32(st.Nlink), UID: st.Uid, GID: st.Gid,
	}
}

// shown tells whether what the real tree has at rel shows inside as it is.
func (s *Staging) shown(rel string) bool {
	if s.meta.Backend == Overlay {
		return true
	}
	for d := layer.Parent(rel); d != ""; d = layer.Parent(d) {
		if s.base.Attached[d] != nil {
			return true
		}
	}
	return false
}
