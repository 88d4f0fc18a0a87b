// Package gitstore keeps a project's copy of the git objects that a session may
// have: packs of exactly the wanted list.
//
// It promises that the store holds no content of a denied path: its objects are
// those reachable from the tips and the index that it is given, less every blob
// that stands at a denied path in any of them. Beside the objects, where only git
// inside looks, a stand-in bears the name of each blob that is withheld. It reads
// the real repository, writes its own directory, and runs nothing but git,
// neutralised.
package gitstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sort"
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/atomicfile"
	"github.com/countersign/countersign/internal/filelock"
	"github.com/countersign/countersign/workspace/gitrun"
)

// Store is one repository's. It grows with the repository and is made anew when a
// rule, or new history, denies what is in it already.
type Store struct {
	dir  string // holds state.json and the generation's objects
	repo gitrun.Repo
	st   storeState
	lock *os.File // shared, while a session uses the generation
}

type storeState struct {
	V     int               `json:"v"`
	Gen   int               `json:"gen"`
	Tips  []string          `json:"tips"`   // object ids whose whole history has been looked at
	Paths map[string]bool   `json:"paths"`  // every path ever seen, and whether it was denied
	Deny  map[string]string `json:"denied"` // blobs that stand at a denied path somewhere: that path
	Extra map[string]bool   `json:"extra"`  // blobs packed because the index names them
	Packs int               `json:"packs"`
}

// version is that of state.json. Another is not read: the store is made anew.
const version = 2

func blank(gen int) storeState {
	return storeState{V: version, Gen: gen, Paths: map[string]bool{}, Deny: map[string]string{}, Extra: map[string]bool{}}
}

// Objects is the directory of objects in use.
func (s *Store) Objects() string {
	return filepath.Join(s.dir, fmt.Sprintf("objects-%d", s.st.Gen))
}

// Open brings the store of repo up to date with the tips and its index. denied
// tells of a path in its working tree.
func Open(ctx context.Context, dir string, repo gitrun.Repo, denied func(string) bool, tips []string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	unlock, err := filelock.Take(ctx, filepath.Join(dir, "lock"), filelock.Exclusive)
	if err != nil {
		return nil, err
	}
	defer unlock.Close()
	s := &Store{dir: dir, repo: repo}
	s.load(denied)
	if err := s.update(ctx, denied, tips); errors.Is(err, ErrRebuild) {
		s.st = blank(s.st.Gen + 1)
		err = s.update(ctx, denied, tips)
		if err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	if s.lock, err = filelock.Take(ctx, s.Objects()+".use", filelock.Shared); err != nil {
		return nil, err
	}
	s.sweep()
	return s, nil
}

// Refresh adds what is new to the generation in use, which a session has mounted.
func (s *Store) Refresh(ctx context.Context, denied func(string) bool, tips []string) error {
	unlock, err := filelock.Take(ctx, filepath.Join(s.dir, "lock"), filelock.Exclusive)
	if err != nil {
		return err
	}
	defer unlock.Close()
	var now storeState
	if b, err := os.ReadFile(filepath.Join(s.dir, "state.json")); err == nil && json.Unmarshal(b, &now) == nil && now.V == version {
		if now.Gen != s.st.Gen {
			return ErrRebuild
		}
		s.st = now // another session may have added to it
	}
	return s.update(ctx, denied, tips)
}

// ErrRebuild says that what a session uses already has become denied.
var ErrRebuild = errors.New("the store must be made anew")

// load reads the state; what cannot be used starts a new generation.
func (s *Store) load(denied func(string) bool) {
	b, err := os.ReadFile(filepath.Join(s.dir, "state.json"))
	ok := err == nil && json.Unmarshal(b, &s.st) == nil && s.st.V == version && s.st.Packs < 40
	if ok {
		for p, was := range s.st.Paths {
			if denied(p) != was {
				ok = false // the rules have changed
				break
			}
		}
	}
	if ok {
		_, err := os.Stat(s.Objects())
		ok = err == nil
	}
	if !ok {
		s.st = blank(s.st.Gen + 1)
	}
}

func (s *Store) update(ctx context.Context, denied func(string) bool, tips []string) error {
	if err := os.MkdirAll(filepath.Join(s.Objects(), "pack"), 0o700); err != nil {
		return err
	}
	for _, d := range []string{"info", StandIns} {
		if err := os.MkdirAll(filepath.Join(s.Objects(), d), 0o700); err != nil {
			return err
		}
	}
	old := map[string]bool{}
	for _, t := range s.st.Tips {
		old[t] = true
	}
	var news []string
	for _, id := range tips {
		if !old[id] {
			old[id] = true
			news = append(news, id)
		}
	}
	changed, before := len(news) > 0, maps.Clone(s.st.Deny)
	if changed {
		if err := s.addHistory(ctx, denied, news); err != nil {
			return err
		}
	}
	more, err := s.addIndex(ctx, denied)
	if err != nil {
		return err
	}
	var fresh []string
	for id := range s.st.Deny {
		if _, was := before[id]; !was {
			fresh = append(fresh, id)
		}
	}
	if !changed && !more && len(fresh) == 0 {
		return nil
	}
	if err := s.standIn(fresh); err != nil {
		return err
	}
	b, err := json.Marshal(s.st)
	if err != nil {
		return err
	}
	return atomicfile.Replace(filepath.Join(s.dir, "state.json"), b)
}

// addHistory packs what the new tips reach and the old ones do not.
func (s *Store) addHistory(ctx context.Context, denied func(string) bool, news []string) error {
	left, err := s.left(ctx)
	if err != nil {
		return err
	}
	if len(left) == 0 && len(s.st.Tips) > 0 {
		return ErrRebuild // another repository stands there now
	}
	var revs strings.Builder
	for _, id := range news {
		revs.WriteString(id + "\n")
	}
	for _, id := range left {
		revs.WriteString("^" + id + "\n")
	}
	c := gitrun.Call{Repo: s.repo}
	c.In = strings.NewReader(revs.String())
	list, err := c.Run(ctx, "rev-list", "--objects", "--missing=allow-any", "--ignore-missing", "--stdin")
	if err != nil {
		return err
	}
	fresh, err := s.learn(ctx, denied, revs.String())
	if err != nil {
		return err
	}
	var want bytes.Buffer
	for _, line := range strings.Split(string(list), "\n") {
		id, _, _ := strings.Cut(line, " ")
		if id == "" {
			continue
		}
		if !s.withheld(id) {
			want.WriteString(line + "\n")
		}
	}
	if there, err := s.present(ctx, fresh); err != nil || there {
		return errors.Join(err, ErrRebuild) // packed when no denied path named it
	}
	s.st.Tips = append(s.st.Tips, news...)
	return s.pack(ctx, want.Bytes())
}

// left returns the tips taken in before that the repository still has: a branch
// may have been rewritten and its old commits pruned.
func (s *Store) left(ctx context.Context) (tips []string, err error) {
	if len(s.st.Tips) == 0 {
		return nil, nil
	}
	in := strings.NewReader(strings.Join(s.st.Tips, "\n") + "\n")
	out, err := gitrun.Call{Repo: s.repo, In: in}.Run(ctx, "cat-file", "--batch-check=%(objectname)", "--buffer")
	for id := range strings.Lines(string(out)) {
		if id = strings.TrimSpace(id); !strings.HasSuffix(id, " missing") {
			tips = append(tips, id)
		}
	}
	return tips, err
}

// learn goes through every (path, blob) pair that a commit of the range brings
// in against its first parent, which by induction is every pair of its trees,
// and returns the blobs newly found at denied paths.
func (s *Store) learn(ctx context.Context, denied func(string) bool, revs string) ([]string, error) {
	c := gitrun.Call{Repo: s.repo, In: strings.NewReader(revs)}
	out, err := c.Run(ctx, "log", "--stdin", "--ignore-missing", "--format=", "--raw", "-z", "--no-abbrev", "--no-renames", "--root", "--diff-merges=first-parent")
	if err != nil {
		return nil, err
	}
	var fresh []string
	fields := gitrun.SplitZ(out)
	for i := 0; i+1 < len(fields); i += 2 {
		f := strings.Fields(strings.TrimLeft(fields[i], "\x00\n"))
		if len(f) < 5 {
			return nil, fmt.Errorf("git log: cannot read %q", fields[i])
		}
		path, id := fields[i+1], f[3]
		if f[1] == "040000" || f[1] == "160000" || strings.Trim(id, "0") == "" {
			continue
		}
		is, seen := s.st.Paths[path]
		if !seen {
			is = denied(path)
			s.st.Paths[path] = is
		}
		if is && !s.withheld(id) && !isEmpty(id) {
			s.st.Deny[id] = path
			fresh = append(fresh, id)
		}
	}
	return fresh, nil
}

// addIndex packs blobs that only the index names.
func (s *Store) addIndex(ctx context.Context, denied func(string) bool) (bool, error) {
	out, err := gitrun.Call{Repo: s.repo, Work: "/"}.Run(ctx, "ls-files", "-z", "--stage")
	if err != nil {
		return false, err
	}
	var ask []string
	for _, e := range gitrun.SplitZ(out) {
		meta, path, ok := strings.Cut(e, "\t")
		f := strings.Fields(meta)
		if !ok || len(f) < 3 || f[0] == "160000" {
			continue
		}
		if denied(path) {
			if s.st.Paths[path] = true; !s.withheld(f[1]) && !isEmpty(f[1]) {
				s.st.Deny[f[1]] = path
				if there, err := s.present(ctx, f[1:2]); err != nil || there {
					return false, errors.Join(err, ErrRebuild)
				}
			}
			continue
		}
		ask = append(ask, f[1])
	}
	missing, err := s.missing(ctx, ask)
	if err != nil || len(missing) == 0 {
		return false, err
	}
	for _, id := range missing {
		s.st.Extra[id] = true
	}
	return true, s.pack(ctx, []byte(strings.Join(missing, "\n")+"\n"))
}

// Self is the store seen as a repository, for reading its objects alone.
func (s *Store) Self() (gitrun.Repo, error) {
	d := filepath.Join(s.dir, fmt.Sprintf("self-%d", s.st.Gen))
	if _, err := os.Stat(filepath.Join(d, "HEAD")); err == nil {
		return gitrun.Repo{Dir: d, Common: d}, nil
	}
	if err := os.MkdirAll(filepath.Join(d, "refs"), 0o700); err != nil {
		return gitrun.Repo{}, err
	}
	if err := os.Symlink(filepath.Join("..", filepath.Base(s.Objects())), filepath.Join(d, "objects")); err != nil && !errors.Is(err, os.ErrExist) {
		return gitrun.Repo{}, err
	}
	conf := "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
	if b, err := os.ReadFile(filepath.Join(s.repo.Common, "config")); err == nil {
		all, err := gitrun.ParseConfig(context.Background(), b)
		if err != nil {
			return gitrun.Repo{}, err
		}
		for _, x := range all {
			if strings.EqualFold(x.Key, "extensions.objectformat") {
				conf = "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectFormat = " + x.Value + "\n"
			}
		}
	}
	if err := os.WriteFile(filepath.Join(d, "config"), []byte(conf), 0o600); err != nil {
		return gitrun.Repo{}, err
	}
	return gitrun.Repo{Dir: d, Common: d}, os.WriteFile(filepath.Join(d, "HEAD"), []byte("ref: refs/heads/none\n"), 0o600)
}

// missing returns those of the ids that the store does not hold and may hold.
func (s *Store) missing(ctx context.Context, ids []string) ([]string, error) {
	absent, err := s.absent(ctx, ids)
	var list []string
	for id := range absent {
		if !s.withheld(id) {
			list = append(list, id)
		}
	}
	sort.Strings(list)
	return list, err
}

// present tells whether the store holds any of the ids.
func (s *Store) present(ctx context.Context, ids []string) (bool, error) {
	absent, err := s.absent(ctx, ids)
	for _, id := range ids {
		if !absent[id] {
			return true, err
		}
	}
	return false, err
}

func (s *Store) absent(ctx context.Context, ids []string) (map[string]bool, error) {
	set := map[string]bool{}
	if len(ids) == 0 {
		return set, nil
	}
	self, err := s.Self()
	if err != nil {
		return nil, err
	}
	out, err := gitrun.Call{Repo: self, In: strings.NewReader(strings.Join(ids, "\n") + "\n")}.Run(ctx, "cat-file", "--batch-check", "--buffer")
	if err != nil {
		return nil, err
	}
	for _, line := range strings.Split(string(out), "\n") {
		if id, ok := strings.CutSuffix(line, " missing"); ok {
			set[id] = true
		}
	}
	return set, nil
}

// pack writes one pack of the listed objects ("ID [PATH]" a line). Deltas are
// reused, not searched: time at the start matters more than a few bytes.
func (s *Store) pack(ctx context.Context, list []byte) error {
	if len(list) == 0 {
		return nil
	}
	// git writes a pack beside the objects first and moves it: beside our own, since
	// the state may lie on another file system and the real repository is read only.
	c := gitrun.Call{Repo: s.repo, In: bytes.NewReader(list), Objects: []string{filepath.Join(s.repo.Common, "objects")}, Store: s.Objects()}
	out, err := c.Run(ctx, "pack-objects", "-q", "--window=0", "--delta-base-offset", "--threads=2", filepath.Join(s.Objects(), "pack", "pack"))
	if err != nil {
		return &countersign.Error{Code: countersign.EInvalid, Op: "copy git objects of", Thing: s.repo.Dir, Err: err, Remedy: "run git fsck there, and see that the disk has room"}
	}
	s.st.Packs++
	for _, name := range strings.Fields(string(out)) {
		if err := os.WriteFile(filepath.Join(s.Objects(), "pack", "pack-"+name+".promisor"), nil, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// sweep removes generations that no session uses.
func (s *Store) sweep() {
	all, _ := filepath.Glob(filepath.Join(s.dir, "objects-*.use"))
	for _, use := range all {
		gen := strings.TrimSuffix(use, ".use")
		if gen == s.Objects() {
			continue
		}
		if l, err := filelock.Try(use, filelock.Exclusive); err == nil {
			os.RemoveAll(gen)
			os.RemoveAll(strings.Replace(gen, "objects-", "self-", 1))
			os.Remove(use)
			l.Close()
		}
	}
}

// Withholds tells whether there is content that the store must not hold.
func (s *Store) Withholds() bool { return len(s.st.Deny) > 0 }

func (s *Store) withheld(id string) bool { _, is := s.st.Deny[id]; return is }

// Generation changes when the store is made anew.
func (s *Store) Generation() int { return s.st.Gen }

// Close lets go of the objects in use.
func (s *Store) Close() error {
	if s == nil || s.lock == nil {
		return nil
	}
	return s.lock.Close()
}
