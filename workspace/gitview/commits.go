package gitview

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/workspace/gitrun"
	"github.com/countersign/countersign/workspace/gitstore"
	"github.com/countersign/countersign/workspace/objects"
)

// Commit is a commit made inside.
type Commit struct {
	Repo    string // where the repository's working tree stands below the root; "" for the root
	Ref     string // the branch it was found on, or "HEAD"
	Here    bool   // that is what is checked out
	ID      string
	Parents []string
	Author  string // as written; not trustworthy text
	Email   string
	Time    time.Time
	Message string
	Files   []CommitFile // against the first parent
	// Refused says why the commit must not be taken over, or is empty; Denied is the
	// denied path, in the repository, whose content the commit would need for that.
	Refused, Denied string
}

// FirstParents yields a commit and its line of first parents, as far as they are
// among those given by id.
func FirstParents(by map[string]*Commit, id string) iter.Seq[*Commit] {
	return func(yield func(*Commit) bool) {
		seen := map[string]bool{}
		for c := by[id]; c != nil && !seen[c.ID] && yield(c) && len(c.Parents) > 0; c = by[c.Parents[0]] {
			seen[c.ID] = true
		}
	}
}

// CommitFile is one path a commit changes; modes are git's, "000000" for none.
type CommitFile struct {
	Path             string // below the repository's working tree
	OldMode, NewMode string
	Old, New         string // object ids
}

// quarantine holds copies of the objects a session wrote, so that git on the
// host reads neither a file that changes under it nor an alternates file the
// agent wrote.
type quarantine struct {
	dir   string
	store *gitstore.Store
	self  Repo
}

func (q *quarantine) close() { os.RemoveAll(q.dir) }

func (q *quarantine) call() gitrun.Call { return gitrun.Call{Repo: q.self, Objects: []string{q.dir}} }

func (s *Session) quarantine(ctx context.Context, r *sessionRepo) (*quarantine, error) {
	dir, err := os.MkdirTemp(s.opts.Dir, "quarantine-")
	if err != nil {
		return nil, err
	}
	q := &quarantine{dir: dir, store: r.store}
	if q.self, err = r.store.Self(); err == nil {
		err = copySmall(filepath.Join(r.real.Common, "shallow"), filepath.Join(q.self.Dir, "shallow"))
	}
	a, aerr := s.agent(r)
	if err = errors.Join(err, aerr); err == nil {
		err = a.copyObjects(ctx, q)
		a.close()
	}
	if err != nil {
		q.close()
		return nil, err
	}
	return q, nil
}

// copyObjects copies what the session wrote, each object checked against its name.
func (a agentDir) copyObjects(ctx context.Context, q *quarantine) error {
	sub, err := a.root.OpenRoot(path.Join(a.rel, "objects"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer sub.Close()
	if err := os.MkdirAll(filepath.Join(q.dir, "pack"), 0o700); err != nil {
		return err
	}
	return objects.Copy(sub, q.dir, nonblock, func(pack io.Reader) error {
		_, _ = gitrun.Call{Repo: q.self, Store: q.dir, In: pack}.Run(ctx, "index-pack", "--stdin") // one that is damaged is left out
		return ctx.Err()
	})
}

// NewCommits lists the commits made inside that the real repository has not, the
// oldest first.
func (s *Session) NewCommits(ctx context.Context) ([]Commit, error) {
	var all []Commit
	for i := range s.repos {
		got, err := s.repoCommits(ctx, &s.repos[i])
		if err != nil {
			return all, err
		}
		all = append(all, got...)
	}
	return all, nil
}

// moved lists the session's branches, HEAD first, that stand where no real ref
// does, and says which is checked out.
func (s *Session) moved(r *sessionRepo) (list []ref, here string, err error) {
	a, err := s.agent(r)
	if err != nil {
		return nil, "", err
	}
	defer a.close()
	own, head := a.refs(), a.head()
	here = "HEAD"
	known := map[string]bool{}
	for _, id := range r.base.stand() {
		known[id] = true
	}
	if name, ok := strings.CutPrefix(head, "ref: "); !ok && isID(head) && !known[head] {
		list = append(list, ref{name: here, id: head})
	} else if ok {
		here = name
		if own[name] != "" && !known[own[name]] {
			list = append(list, ref{name: name, id: own[name]})
		}
	}
	var names []string
	for name := range own {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if strings.HasPrefix(name, "refs/heads/") && !known[own[name]] && (len(list) == 0 || list[0].name != name) {
			list = append(list, ref{name: name, id: own[name]})
		}
	}
	return list, here, nil
}

func (s *Session) repoCommits(ctx context.Context, r *sessionRepo) ([]Commit, error) {
	tips, here, err := s.moved(r)
	if err != nil || len(tips) == 0 {
		return nil, err
	}
	q, err := s.quarantine(ctx, r)
	if err != nil {
		return nil, err
	}
	defer q.close()
	var first, all []Commit
	seen := map[string]bool{}
	for i, t := range tips {
		if i == 1 {
			first, all = all, nil
		}
		ids, err := q.between(ctx, t.id, r.base.stand())
		if err != nil {
			all = append(all, Commit{Repo: r.real.Rel, Ref: t.name, ID: t.id, Refused: "its history cannot be read: " + err.Error()})
			continue
		}
		for _, id := range ids {
			if !seen[id] {
				seen[id] = true
				c := s.describe(ctx, q, r, t.name, id)
				c.Here = t.name == here
				all = append(all, c)
			}
		}
	}
	// What the branch that is checked out has comes last: a change that two
	// branches hold belongs to it.
	return append(all, first...), nil
}

// between lists the commits that id reaches and the refs do not, oldest first.
func (q *quarantine) between(ctx context.Context, id string, refs map[string]string) ([]string, error) {
	in := id + "\n"
	for _, known := range refs {
		in += "^" + known + "\n"
	}
	c := q.call()
	c.In = strings.NewReader(in)
	out, err := c.Run(ctx, "rev-list", "--topo-order", "--reverse", "--ignore-missing", "--stdin")
	if err == nil && len(out) == 0 {
		_, err = q.call().Run(ctx, "cat-file", "-e", id+"^{commit}") // --ignore-missing would hide it
	}
	return strings.Fields(string(out)), err
}

// describe reads one commit and judges whether it may be taken over.
func (s *Session) describe(ctx context.Context, q *quarantine, r *sessionRepo, refName, id string) Commit {
	c := Commit{Repo: r.real.Rel, Ref: refName, ID: id}
	raw, err := q.call().Run(ctx, "cat-file", "commit", id)
	if err != nil {
		c.Refused = "it cannot be read: " + err.Error()
		return c
	}
	c.parse(raw)
	args := []string{"diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--no-commit-id"}
	if len(c.Parents) == 0 {
		args = append(args, "--root", id)
	} else {
		args = append(args, c.Parents[0], id)
	}
	out, err := q.call().Run(ctx, args...)
	if err != nil {
		c.Refused = "its files cannot be read: " + err.Error()
		return c
	}
	f := gitrun.SplitZ(out)
	for i := 0; i+1 < len(f); i += 2 {
		m := strings.Fields(strings.TrimPrefix(f[i], ":"))
		if len(m) < 5 {
			c.Refused = "its files cannot be read"
			return c
		}
		c.Files = append(c.Files, CommitFile{Path: f[i+1], OldMode: m[0], NewMode: m[1], Old: m[2], New: m[3]})
	}
	c.Refused, c.Denied = s.judge(ctx, q, &c)
	return c
}

// parse reads a commit object (git-cat-file(1); gitformat of a commit).
func (c *Commit) parse(raw []byte) {
	head, body, _ := bytes.Cut(raw, []byte("\n\n"))
	c.Message = string(body)
	for _, line := range strings.Split(string(head), "\n") {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "parent":
			c.Parents = append(c.Parents, value)
		case "author":
			name, rest, _ := strings.Cut(value, " <")
			mail, when, _ := strings.Cut(rest, "> ")
			var sec int64
			fmt.Sscan(when, &sec)
			c.Author, c.Email, c.Time = name, mail, time.Unix(sec, 0).UTC()
		}
	}
}

// judge says why a commit must not reach the real repository: it names content
// that the session was never given (a denied file's, by its id), what stands in for
// such content, or a path that is git's own.
func (s *Session) judge(ctx context.Context, q *quarantine, c *Commit) (why, denied string) {
	var ids []string
	for _, f := range c.Files {
		for _, part := range strings.Split(f.Path, "/") {
			if part == "" || part == "." || part == ".." || strings.EqualFold(strings.TrimRight(part, " ."), ".git") {
				return fmt.Sprintf("it has a file at %q", f.Path), ""
			}
		}
		if f.NewMode != "160000" && strings.Trim(f.New, "0") != "" {
			ids = append(ids, f.New)
		}
	}
	if len(ids) == 0 {
		return "", ""
	}
	in := q.call()
	in.In = strings.NewReader(strings.Join(ids, "\n") + "\n")
	out, err := in.Run(ctx, "cat-file", "--batch-check", "--buffer")
	if err != nil {
		return "its content cannot be read: " + err.Error(), ""
	}
	for i, line := range strings.Split(strings.TrimRight(string(out), "\n"), "\n") {
		_, size, blob := strings.Cut(line, " blob ")
		if !blob && i < len(ids) {
			return "it names content that the session does not have, at " + pathOf(c, ids[i]), q.store.Withheld()[ids[i]]
		}
		if n, err := strconv.ParseInt(size, 10, 64); err == nil && gitstore.StandInSize(n) && i < len(ids) {
			if b, err := q.call().Run(ctx, "cat-file", "blob", ids[i]); err != nil || gitstore.IsStandIn(b) {
				return "it holds what stands in for withheld content, at " + pathOf(c, ids[i]), q.store.Withheld()[gitstore.StandsFor(b)]
			}
		}
	}
	return "", ""
}

func pathOf(c *Commit, id string) string {
	for _, f := range c.Files {
		if f.New == id {
			return fmt.Sprintf("%q", f.Path)
		}
	}
	return id
}

// Tips changes whenever NewCommits would say something else.
func (s *Session) Tips() string {
	var b strings.Builder
	for i := range s.repos {
		list, here, err := s.moved(&s.repos[i])
		fmt.Fprintf(&b, "%d %s %v\n", i, here, err)
		for _, r := range list {
			fmt.Fprintf(&b, "%s %s\n", r.id, r.name)
		}
	}
	return b.String()
}
