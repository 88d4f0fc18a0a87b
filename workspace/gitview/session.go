package gitview

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/atomicfile"
	"github.com/countersign/countersign/internal/gitkeys"
	"github.com/countersign/countersign/workspace/gitrun"
	"github.com/countersign/countersign/workspace/gitstore"
	"github.com/countersign/countersign/workspace/gittext"
)

// Options say how a session's git directories are made.
type Options struct {
	Dir    string   // where the session's git directories lie; mounted into the view, written by the agent
	Store  string   // the project's store of filtered objects
	Hooks  string   // an empty directory, mounted read-only over each hooks directory
	View   string   // the path of the project's root inside; "" for its own
	Nested []string // directories below the root, other than it, that hold a .git
	Denied func(rel string) (rule string, denied bool)
}

// Place is what has to stand in the staged tree where a mount lies over it or a
// .git file is read: an empty directory if File is nil, else a file.
type Place struct {
	Rel  string
	File []byte
}

// Session is a session's own git.
type Session struct {
	Places   []Place
	Mounts   []countersign.Mount
	Texts    *gittext.Keeper
	ReadOnly []string // paths inside that cannot be changed: the hooks directories and .git files

	project *Project
	opts    Options
	repos   []sessionRepo
	mu      sync.Mutex // held while the real refs and what the base says of them must agree
}

// sessionRepo is one repository and the session's git directory for it.
type sessionRepo struct {
	real     Repo
	dir      string // on the host
	inside   string // path inside
	worktree string // core.worktree, for a submodule's
	name     string // of its base record
	store    *gitstore.Store
	base     baseRefs
}

// baseRefs is what the repository looked like when the session last took it over.
type baseRefs struct {
	V     int               `json:"v"`
	Head  string            `json:"head"` // "ref: refs/heads/x" or an object id
	Refs  map[string]string `json:"refs"`
	Index string            `json:"index"` // sha256 of the real index
}

// stand are the refs without those that git leaves behind an operation: what
// only an ORIG_HEAD still names is not in the real history.
func (b baseRefs) stand() map[string]string {
	m := maps.Clone(b.Refs)
	for _, name := range pseudo {
		delete(m, name)
	}
	return m
}

type ref struct{ name, id, symref string }

// SessionGit makes the session's git directories, or brings those that an
// earlier session left in o.Dir up to date. A project without git has none.
func (p *Project) SessionGit(ctx context.Context, o Options) (*Session, error) {
	if o.View == "" {
		o.View = p.Root
	}
	s := &Session{project: p, opts: o, Texts: gittext.New(o.Dir)}
	if !p.Git {
		return s, nil
	}
	if err := s.layout(); err != nil {
		return nil, err
	}
	for i := range s.repos {
		if err := s.prepare(ctx, &s.repos[i]); err != nil {
			s.Close()
			return nil, &countersign.Error{Code: countersign.EInvalid, Op: "prepare the session's git for", Thing: filepath.Join(p.Root, s.repos[i].real.Rel), Err: err}
		}
	}
	return s, nil
}

// layout decides where each repository's git directory stands inside.
func (s *Session) layout() error {
	rels := append([]string{""}, s.opts.Nested...)
	for i, rel := range rels {
		r, ok := s.project.RepoAt(rel)
		if !ok {
			continue // no repository git would know
		}
		sr := sessionRepo{real: r, name: fmt.Sprint(i), inside: path.Join(s.opts.View, rel, ".git"), dir: filepath.Join(s.opts.Dir, fmt.Sprint(i))}
		below, err := filepath.Rel(s.project.Repo.Dir, r.Dir)
		if r.File && i > 0 && err == nil && filepath.IsLocal(below) { // a submodule's, within the root's
			sr.dir = filepath.Join(s.opts.Dir, "0", below)
			sr.inside = path.Join(s.opts.View, ".git", filepath.ToSlash(below))
			at := path.Join(s.opts.View, rel)
			back, err1 := filepath.Rel(sr.inside, at)
			to, err2 := filepath.Rel(at, sr.inside)
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			sr.worktree = back
			s.Places = append(s.Places, Place{Rel: path.Join(rel, ".git"), File: []byte("gitdir: " + to + "\n")})
			s.ReadOnly = append(s.ReadOnly, path.Join(at, ".git"))
			s.anchor(filepath.ToSlash(below))
		} else {
			s.Places = append(s.Places, Place{Rel: path.Join(rel, ".git")})
			s.Mounts = append(s.Mounts, countersign.Mount{Type: "bind", Source: sr.dir, Target: sr.inside})
		}
		same, err := filepath.Rel(s.opts.Dir, sr.dir)
		if err != nil {
			return err
		}
		s.Texts.Add(sr.inside, same)
		s.repos = append(s.repos, sr)
	}
	return nil
}

// anchor makes a mount of each directory on the way from the root's git directory to
// another within: else it could be renamed, and another be made in its place.
func (s *Session) anchor(below string) {
	at := ""
	for name := range strings.SplitSeq(below, "/") {
		at = path.Join(at, name)
		m := countersign.Mount{Type: "bind", Source: filepath.Join(s.opts.Dir, "0", at), Target: path.Join(s.opts.View, ".git", at)}
		if !slices.ContainsFunc(s.Mounts, func(x countersign.Mount) bool { return x.Target == m.Target }) {
			s.Mounts = append(s.Mounts, m)
		}
	}
}

// prepare fills one repository's session git directory.
func (s *Session) prepare(ctx context.Context, r *sessionRepo) error {
	refs, err := s.project.refs(ctx, r.real)
	if err != nil {
		return err
	}
	key := "root"
	if r.real.Rel != "" {
		key = hashName(r.real.Rel)
	}
	r.store, err = gitstore.Open(ctx, filepath.Join(s.opts.Store, key), r.real, s.denyIn(r.real), tips(refs))
	if err != nil {
		return err
	}
	s.Mounts = append(s.Mounts,
		countersign.Mount{Type: "bind", Source: r.store.Objects(), Target: path.Join(r.inside, "countersign/objects"), RO: true},
		countersign.Mount{Type: "bind", Source: s.opts.Hooks, Target: path.Join(r.inside, "hooks"), RO: true})
	s.ReadOnly = append(s.ReadOnly, path.Join(r.inside, "hooks"))
	for _, name := range gittext.Names {
		s.Mounts = append(s.Mounts, countersign.Mount{Type: "bind", Source: filepath.Join(r.dir, name), Target: path.Join(r.inside, name), RO: true})
	}
	if s.loadBase(r) {
		if err := errors.Join(s.layTexts(ctx, r), s.hide(ctx, r)); err != nil {
			return err
		}
		_, err := s.syncRepo(ctx, r, refs)
		return err
	}
	if real, err := filepath.EvalSymlinks(filepath.Dir(r.dir)); err == nil && real != filepath.Dir(r.dir) {
		return errors.New("the session's git directory was replaced by a link; start with --fresh")
	}
	if err := s.clear(r); err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return s.Texts.Forget(r.inside) },
		func() error { return s.build(ctx, r, refs) },
		func() error { return s.layTexts(ctx, r) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return s.hide(ctx, r)
}

// clear removes what stands where a git directory is to be built: a submodule's
// lies in the root's, where the agent may have laid links for it beforehand.
func (s *Session) clear(r *sessionRepo) error {
	a, err := s.agent(r)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer a.close()
	return a.root.RemoveAll(a.rel)
}

func (s *Session) denyIn(r Repo) func(string) bool {
	cache := map[string]bool{}
	var denied func(rel string) bool
	denied = func(rel string) bool {
		if s.opts.Denied == nil {
			return false
		}
		if was, ok := cache[rel]; ok {
			return was
		}
		_, is := s.opts.Denied(path.Join(r.Rel, rel))
		if up := path.Dir(rel); !is && up != "." {
			is = denied(up)
		}
		cache[rel] = is
		return is
	}
	return denied
}

// refs lists what a session may see: branches, tags, remote branches, notes and
// HEAD; no stash, no reflog.
func (p *Project) refs(ctx context.Context, r Repo) ([]ref, error) {
	out, err := gitrun.Call{Repo: r, Work: ""}.Run(ctx, "for-each-ref", "--format=%(objectname)%00%(refname)%00%(symref)", "refs/heads", "refs/tags", "refs/remotes", "refs/notes")
	if err != nil {
		return nil, err
	}
	var all []ref
	for _, line := range strings.Split(string(out), "\n") {
		f := strings.Split(line, "\x00")
		if len(f) == 3 {
			all = append(all, ref{id: f[0], name: f[1], symref: f[2]})
		}
	}
	for _, name := range append([]string{"HEAD"}, pseudo...) {
		b, err := os.ReadFile(filepath.Join(r.Dir, name))
		id := strings.TrimSpace(string(b))
		if err == nil && isID(id) {
			all = append(all, ref{name: name, id: id})
		}
	}
	return all, nil
}

// pseudo are the refs of an unfinished operation (gitglossary(7), "pseudoref").
var pseudo = []string{"MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "REBASE_HEAD", "ORIG_HEAD"}

// carried are the other files of a git directory that a session gets a copy of.
var carried = []string{
	"description", "shallow", "info/exclude", "info/attributes", "info/sparse-checkout",
	"MERGE_MSG", "MERGE_MODE", "SQUASH_MSG", "BISECT_LOG", "BISECT_NAMES", "BISECT_START", "BISECT_TERMS",
}

// build makes a git directory from nothing.
func (s *Session) build(ctx context.Context, r *sessionRepo, refs []ref) error {
	for _, d := range []string{"hooks", "info", "logs", "objects/info", "objects/pack", "refs/heads", "refs/tags", "countersign/objects"} {
		if err := os.MkdirAll(filepath.Join(r.dir, d), 0o755); err != nil {
			return err
		}
	}
	for _, name := range append(append([]string(nil), carried...), pseudo...) {
		if err := copySmall(filepath.Join(r.real.Dir, name), filepath.Join(r.dir, name)); err != nil {
			return err
		}
		if r.real.Common != r.real.Dir && strings.Contains(name, "/") || name == "shallow" {
			if err := copySmall(filepath.Join(r.real.Common, name), filepath.Join(r.dir, name)); err != nil {
				return err
			}
		}
	}
	if err := s.writeConfig(ctx, r); err != nil {
		return err
	}
	if err := s.writeRefs(r.dir, refs); err != nil {
		return err
	}
	head, err := s.project.head(ctx, r.real)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.dir, "HEAD"), []byte(head+"\n"), 0o644); err != nil {
		return err
	}
	if err := s.copyIndex(ctx, r, r.dir); err != nil {
		return err
	}
	return s.saveBase(r, head, refs)
}

// head returns the content of HEAD.
func (p *Project) head(ctx context.Context, r Repo) (string, error) {
	b, err := os.ReadFile(filepath.Join(r.Dir, "HEAD"))
	if err != nil {
		return "", err
	}
	head := strings.TrimSpace(string(b))
	if head != "ref: refs/heads/.invalid" { // what reftable leaves there
		return head, nil
	}
	out, err := gitrun.Call{Repo: r}.Run(ctx, "symbolic-ref", "-q", "HEAD")
	if err == nil {
		return "ref: " + strings.TrimSpace(string(out)), nil
	}
	out, err = gitrun.Call{Repo: r}.Run(ctx, "rev-parse", "--verify", "HEAD")
	return strings.TrimSpace(string(out)), err
}

func (s *Session) writeConfig(ctx context.Context, r *sessionRepo) error {
	b, err := os.ReadFile(filepath.Join(r.real.Common, "config"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	all, err := gitrun.ParseConfig(ctx, b)
	if err != nil {
		return err
	}
	conf := sessionConfig(all, *r, s.project.userSettings(ctx))
	return os.WriteFile(filepath.Join(r.dir, "config"), gitkeys.Format(conf), 0o644)
}

// writeRefs writes packed-refs (gitformat: git-pack-refs(1)) and symbolic refs.
// It has no line of traits: tags are not peeled in it, and GitPython reads no
// file whose line does not say that they are.
func (s *Session) writeRefs(dir string, refs []ref) error {
	var b strings.Builder
	for _, r := range refs {
		switch {
		case !strings.HasPrefix(r.name, "refs/"):
		case r.symref != "":
			at := filepath.Join(dir, r.name)
			if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(at, []byte("ref: "+r.symref+"\n"), 0o644); err != nil {
				return err
			}
		default:
			fmt.Fprintf(&b, "%s %s\n", r.id, r.name)
		}
	}
	return os.WriteFile(filepath.Join(dir, "packed-refs"), []byte(b.String()), 0o644)
}

// copyIndex gives the session the real index, its denied entries marked
// skip-worktree: git then neither reads nor misses their content.
func (s *Session) copyIndex(ctx context.Context, r *sessionRepo, dir string) error {
	from := s.baseIndex(r) + ".new" // read once: what the base records is what the session got
	if err := copySmall(filepath.Join(r.real.Dir, "index"), from); err != nil {
		return err
	}
	if err := copySmall(from, filepath.Join(dir, "index")); err != nil {
		return err
	}
	shared, _ := filepath.Glob(filepath.Join(r.real.Dir, "sharedindex.*"))
	for _, f := range shared {
		if err := copySmall(f, filepath.Join(dir, filepath.Base(f))); err != nil {
			return err
		}
	}
	if !r.store.Withholds() {
		return nil
	}
	return s.maskIndex(ctx, r, filepath.Join(dir, "index"))
}

// maskIndex marks the denied entries of a session's index, and takes back what
// is staged there: its content is not in the session's objects.
func (s *Session) maskIndex(ctx context.Context, r *sessionRepo, index string) error {
	fi, err := os.Stat(index)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	c := gitrun.Call{Repo: r.real, Work: s.opts.Hooks, Index: index}
	out, err := c.Run(ctx, "ls-files", "-z", "--cached")
	if err != nil {
		return err
	}
	denied, marked := s.denyIn(r.real), map[string]bool{}
	for _, name := range gitrun.SplitZ(out) {
		if denied(name) {
			marked[name] = true
		}
	}
	if len(marked) == 0 {
		return nil
	}
	back, err := s.stagedBack(ctx, c, denied, marked)
	if err != nil {
		return err
	}
	list := ""
	for name := range marked {
		list += name + "\x00"
	}
	if back != "" {
		c.In = strings.NewReader(back)
		if _, err := c.Run(ctx, "update-index", "-z", "--index-info"); err != nil {
			return err
		}
	}
	c.In = strings.NewReader(list)
	if _, err = c.Run(ctx, "update-index", "-z", "--skip-worktree", "--stdin"); err != nil {
		return err
	}
	return os.Chtimes(index, fi.ModTime(), fi.ModTime()) // what was racy stays so
}

// stagedBack is the --index-info that gives denied entries HEAD's version again;
// marked loses those that HEAD has not and gains those that were staged for removal.
func (s *Session) stagedBack(ctx context.Context, c gitrun.Call, denied func(string) bool, marked map[string]bool) (string, error) {
	if _, err := c.Run(ctx, "rev-parse", "-q", "--verify", "HEAD"); err != nil {
		return "", nil // no commit yet
	}
	out, err := c.Run(ctx, "diff-index", "--cached", "-z", "--raw", "--no-abbrev", "--no-renames", "HEAD")
	if err != nil {
		return "", err
	}
	var set strings.Builder
	f := gitrun.SplitZ(out)
	for i := 0; i+1 < len(f); i += 2 {
		m := strings.Fields(strings.TrimPrefix(f[i], ":"))
		if len(m) < 5 || !denied(f[i+1]) {
			continue
		}
		marked[f[i+1]] = true
		if m[0] == "000000" {
			m[0] = "0"
			delete(marked, f[i+1])
		}
		fmt.Fprintf(&set, "%s %s\t%s\x00", m[0], m[2], f[i+1])
	}
	return set.String(), nil
}

func (s *Session) basePath(r *sessionRepo) string {
	return filepath.Join(s.opts.Dir, "base-"+r.name+".json")
}

func (s *Session) loadBase(r *sessionRepo) bool {
	b, err := os.ReadFile(s.basePath(r))
	if err != nil || json.Unmarshal(b, &r.base) != nil || r.base.V != 1 {
		return false
	}
	_, err = os.Lstat(filepath.Join(r.dir, "HEAD"))
	return err == nil
}

func (s *Session) saveBase(r *sessionRepo, head string, refs []ref) error {
	fresh := s.baseIndex(r) + ".new"
	if _, err := os.Stat(fresh); err != nil {
		if err := copySmall(filepath.Join(r.real.Dir, "index"), fresh); err != nil {
			return err
		}
	}
	if err := os.Rename(fresh, s.baseIndex(r)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	r.base = baseRefs{V: 1, Head: head, Refs: map[string]string{}, Index: fileSum(s.baseIndex(r))}
	for _, x := range refs {
		r.base.Refs[x.name] = x.id
	}
	b, err := json.Marshal(r.base)
	if err != nil {
		return err
	}
	return atomicfile.Replace(s.basePath(r), b)
}

// Close lets go of the store. A session that was not made has none.
func (s *Session) Close() error {
	if s == nil {
		return nil
	}
	for _, r := range s.repos {
		r.store.Close()
	}
	return nil
}
