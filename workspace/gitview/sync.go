package gitview

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/countersign/countersign/workspace/gitrun"
	"github.com/countersign/countersign/workspace/gitstore"
)

// Sync carries into the session's git what a person did to the real one: new
// commits, another branch, staged files. Where the session has commits or staged
// files of its own at the same place, its own stand. It tells whether anything
// was carried in; told are sentences for the person.
func (s *Session) Sync(ctx context.Context) (moved bool, told []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sync(ctx)
}

func (s *Session) sync(ctx context.Context) (moved bool, told []string, err error) {
	for i := range s.repos {
		r := &s.repos[i]
		refs, err := s.project.refs(ctx, r.real)
		if err != nil {
			return moved, told, err
		}
		head, err := s.project.head(ctx, r.real)
		if err != nil {
			return moved, told, err
		}
		if s.unmoved(r, head, refs) {
			continue
		}
		if err := r.store.Refresh(ctx, s.denyIn(r.real), tips(refs)); errors.Is(err, gitstore.ErrRebuild) {
			told = append(told, "the history outside now names, at a denied path, content this session already has in its git; start a new session to see the new commits")
			continue
		} else if err != nil {
			return moved, told, err
		}
		if err := s.hide(ctx, r); err != nil {
			return moved, told, err
		}
		say, err := s.syncRepo(ctx, r, refs)
		if err != nil {
			return moved, told, err
		}
		moved, told = true, append(told, say...)
	}
	return moved, told, nil
}

func (s *Session) unmoved(r *sessionRepo, head string, refs []ref) bool {
	if head != r.base.Head || fileSum(filepath.Join(r.real.Dir, "index")) != r.base.Index {
		return false
	}
	n := 0
	for _, x := range refs {
		if was, ok := r.base.Refs[x.name]; !ok || was != x.id {
			return false
		}
		n++
	}
	return n == len(r.base.Refs)
}

// agentDir is a session's git directory, which the agent writes: it is reached
// only through an os.Root, which no symbolic link leaves.
type agentDir struct {
	root *os.Root
	rel  string
}

func (s *Session) agent(r *sessionRepo) (agentDir, error) {
	root, err := os.OpenRoot(s.opts.Dir)
	if err != nil {
		return agentDir{}, err
	}
	rel, err := filepath.Rel(s.opts.Dir, r.dir)
	return agentDir{root, rel}, err
}

func (a agentDir) close() { a.root.Close() }

// maxText bounds what is read of a text file the agent can write, maxIndex what
// of an index: some 100 bytes a file.
const (
	maxText  = 16 << 20
	maxIndex = 512 << 20
)

func (a agentDir) read(name string) ([]byte, error) { return a.upTo(name, maxText) }

func (a agentDir) upTo(name string, limit int) ([]byte, error) {
	f, err := a.root.OpenFile(path.Join(a.rel, name), os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return nil, errors.Join(err, fs.ErrInvalid)
	}
	b, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if len(b) > limit {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, limit)
	}
	return b, err
}

// replace writes a file as git does: NAME.lock, which keeps git inside away, and
// a rename.
func (a agentDir) replace(name string, data []byte) error {
	at := path.Join(a.rel, name)
	if err := a.root.MkdirAll(path.Dir(at), 0o755); err != nil {
		return err
	}
	f, err := a.root.OpenFile(at+".lock", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = a.root.Rename(at+".lock", at)
	}
	if err != nil {
		a.root.Remove(at + ".lock")
	}
	return err
}

// refs reads the session's own refs: loose ones win over packed ones.
func (a agentDir) refs() map[string]string {
	got := map[string]string{}
	if b, err := a.read("packed-refs"); err == nil {
		for _, line := range strings.Split(string(b), "\n") {
			if id, name, ok := strings.Cut(line, " "); ok && isID(id) {
				got[name] = id
			}
		}
	}
	sub, err := a.root.OpenRoot(a.rel)
	if err != nil {
		return got
	}
	defer sub.Close()
	fs.WalkDir(sub.FS(), "refs", func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if b, err := a.read(p); err == nil && isID(strings.TrimSpace(string(b))) {
			got[p] = strings.TrimSpace(string(b))
		}
		return nil
	})
	return got
}

func (a agentDir) head() string {
	b, err := a.read("HEAD")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// tip resolves HEAD among refs.
func tip(head string, refs map[string]string) string {
	if name, ok := strings.CutPrefix(head, "ref: "); ok {
		return refs[name]
	}
	return head
}

// syncRepo carries refs, HEAD and index of one repository in.
func (s *Session) syncRepo(ctx context.Context, r *sessionRepo, refs []ref) (told []string, err error) {
	a, err := s.agent(r)
	if err != nil {
		return nil, err
	}
	defer a.close()
	head, err := s.project.head(ctx, r.real)
	if err != nil {
		return nil, err
	}
	own := a.refs()
	ownHead := a.head()
	for _, x := range refs {
		was, has := own[x.name]
		base := r.base.Refs[x.name]
		switch {
		case !strings.HasPrefix(x.name, "refs/") || x.symref != "" || x.id == base || was == x.id:
		case has && was != base:
			told = append(told, x.name+" was moved outside and inside; the session keeps its own")
		default:
			if err := a.replace(x.name, []byte(x.id+"\n")); err != nil {
				return told, err
			}
			own[x.name] = x.id
		}
	}
	settled := ownHead == r.base.Head && (tip(ownHead, own) == tip(r.base.Head, r.base.Refs) || tip(ownHead, own) == refID(refs, ownHead))
	if settled || ownHead == head && tip(ownHead, own) == refID(refs, head) {
		if err := s.syncIndex(ctx, r, a); err != nil {
			return told, err
		}
		if head != ownHead {
			if err := a.replace("HEAD", []byte(head+"\n")); err != nil {
				return told, err
			}
		}
	} else if head != r.base.Head {
		told = append(told, "another branch was checked out outside; the session has commits of its own and stays where it is")
	}
	return told, s.saveBase(r, head, refs)
}

func refID(refs []ref, head string) string {
	name, ok := strings.CutPrefix(head, "ref: ")
	if !ok {
		return head
	}
	for _, r := range refs {
		if r.name == name {
			return r.id
		}
	}
	return ""
}

// syncIndex gives the session the real index, with what was staged inside put
// over it again.
func (s *Session) syncIndex(ctx context.Context, r *sessionRepo, a agentDir) error {
	dir, err := os.MkdirTemp(s.opts.Dir, "index-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	own, err := a.upTo("index", maxIndex)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil // no index that git can read: the session's own affair
	}
	if err := os.WriteFile(filepath.Join(dir, "own"), own, 0o600); err != nil {
		return err
	}
	base, err := entries(ctx, r.real, s.baseIndex(r))
	if err != nil {
		return err
	}
	now, err := entries(ctx, r.real, filepath.Join(dir, "own"))
	if err != nil {
		return nil // the same
	}
	if err := s.copyIndex(ctx, r, dir); err != nil {
		return err
	}
	if real, err := entries(ctx, r.real, s.baseIndex(r)+".new"); err != nil || maps.Equal(real, base) && string(own) != "" {
		return err // only its stat data moved: leave git inside in peace
	}
	var over strings.Builder
	denied := s.denyIn(r.real) // those entries are masked, not staged inside
	for p, e := range now {
		if base[p] != e && !denied(p) {
			fmt.Fprintf(&over, "%s\t%s\x00", e, p)
		}
	}
	for p := range base {
		if now[p] == "" && !denied(p) {
			fmt.Fprintf(&over, "0 %040d\t%s\x00", 0, p)
		}
	}
	if over.Len() > 0 {
		c := gitrun.Call{Repo: r.real, Work: s.opts.Hooks, Index: filepath.Join(dir, "index"), In: strings.NewReader(over.String())}
		if _, err := c.Run(ctx, "update-index", "-z", "--index-info"); err != nil {
			return err
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "index"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return a.replace("index", b)
}

// entries lists an index: path to "mode id stage".
func entries(ctx context.Context, r Repo, index string) (map[string]string, error) {
	got := map[string]string{}
	if _, err := os.Stat(index); err != nil {
		return got, nil
	}
	out, err := gitrun.Call{Repo: r, Work: "/", Index: index}.Run(ctx, "ls-files", "-z", "--stage")
	for _, e := range gitrun.SplitZ(out) {
		if meta, p, ok := strings.Cut(e, "\t"); ok {
			got[p] = meta
		}
	}
	return got, err
}

func (s *Session) baseIndex(r *sessionRepo) string {
	return filepath.Join(s.opts.Dir, "base-"+r.name+".index")
}

// Own tells whether the session's git holds anything the real one has not: a
// commit, a branch, a stash.
func (s *Session) Own() bool {
	for i := range s.repos {
		r := &s.repos[i]
		a, err := s.agent(r)
		if err != nil {
			return true
		}
		own := a.refs()
		a.close()
		for name, id := range own {
			if r.base.Refs[name] != id {
				return true
			}
		}
	}
	return false
}

// RealDirs are the real git directories, for a watcher of HEAD, index and refs.
func (s *Session) RealDirs() []string {
	var dirs []string
	for _, r := range s.repos {
		dirs = append(dirs, r.real.Dir)
		if r.real.Common != r.real.Dir {
			dirs = append(dirs, r.real.Common)
		}
		dirs = append(dirs, filepath.Join(r.real.Common, "refs", "heads"))
	}
	return dirs
}

// copySmall copies a file that may be absent.
func copySmall(from, to string) error {
	in, err := os.Open(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	fi, err := in.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chtimes(to, fi.ModTime(), fi.ModTime()) // an index's own time decides what is racy
	}
	return err
}

func fileSum(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return hashName(string(b))
}

func hashName(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}

// tips are the ids of refs.
func tips(refs []ref) []string {
	ids := make([]string, len(refs))
	for i, r := range refs {
		ids[i] = r.id
	}
	return ids
}

func isID(s string) bool {
	if len(s) != 40 && len(s) != 64 {
		return false
	}
	_, err := hex.DecodeString(s)
	return err == nil
}
