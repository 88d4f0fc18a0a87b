package gitview

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/gitkeys"
	"github.com/countersign/countersign/workspace/gitrun"
)

// Taken is a ref that TakeOver moves.
type Taken struct {
	Repo  string `json:"repo"`          // where its working tree stands below the root
	Ref   string `json:"ref"`           // refs/heads/…
	Old   string `json:"old,omitempty"` // empty if the branch is new
	New   string `json:"new"`
	Index bool   `json:"index"` // the branch is checked out: the index follows
}

// TakeOver brings a commit made inside, and those below it, into the real
// repository: first the objects, checked by git, then a fast-forward of the
// branch, then the index entries of the files it changes. It refuses, with
// nothing changed, where that would not be a fast-forward, where the person has
// staged something at one of those paths, where a commit is refused, or where
// one does something that nobody has accepted. So whoever applies the hunks does
// it first; the working tree is left to them. With dry it only looks, and says
// what it would move.
func (s *Session) TakeOver(ctx context.Context, repo, commit string, says Accepted, dry bool) (Taken, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.at(repo)
	var t Taken
	if err == nil {
		t, err = s.takeOver(ctx, r, commit, says, dry)
	}
	if err != nil {
		return t, &countersign.Error{Code: countersign.CodeOf(errOr(err)), Op: "take over commit", Thing: commit, Err: err, Remedy: "accept its hunks as changes of the working tree instead"}
	}
	if !dry {
		_, _, err = s.sync(ctx)
	}
	return t, err
}

// at finds a repository by where its working tree stands.
func (s *Session) at(repo string) (*sessionRepo, error) {
	for i := range s.repos {
		if s.repos[i].real.Rel == repo {
			return &s.repos[i], nil
		}
	}
	return nil, &countersign.Error{Code: countersign.ENotFound, Op: "find repository", Thing: repo, Err: fmt.Errorf("no repository at %q", repo)}
}

func errOr(err error) error {
	if countersign.CodeOf(err) == countersign.EInternal {
		return &countersign.Error{Code: countersign.EInvalid, Err: err}
	}
	return err
}

func (s *Session) takeOver(ctx context.Context, r *sessionRepo, commit string, says Accepted, dry bool) (t Taken, err error) {
	if !isID(commit) {
		return t, errors.New("not an object id")
	}
	all, err := s.repoCommits(ctx, r)
	if err != nil {
		return t, err
	}
	i := slices.IndexFunc(all, func(c Commit) bool { return c.ID == commit })
	if i < 0 {
		return t, errors.New("the session has no such new commit")
	}
	t = Taken{Repo: r.real.Rel, New: commit}
	if t.Ref, t.Old, err = s.target(ctx, r, &all[i]); err != nil {
		return t, err
	}
	q, err := s.quarantine(ctx, r)
	if err != nil {
		return t, err
	}
	defer q.close()
	if err := q.check(ctx, s, r, all, t.Old, commit); err != nil {
		return t, err
	}
	if err := s.accepted(ctx, q, r, all, t.Old, commit, says); err != nil {
		return t, err
	}
	entries, err := s.project.indexChange(ctx, q.call(), r.real, t.Ref, t.Old, commit)
	t.Index = entries != ""
	if err != nil || dry {
		return t, err
	}
	if err := q.send(ctx, r.real, t.Old, commit); err != nil {
		return t, err
	}
	return t, s.project.move(ctx, r.real, t.Ref, t.Old, commit, "take over "+commit[:12], entries)
}

// target finds the branch to move and where it stands.
func (s *Session) target(ctx context.Context, r *sessionRepo, c *Commit) (name, old string, err error) {
	if !strings.HasPrefix(c.Ref, "refs/heads/") {
		return "", "", errors.New("it is on no branch")
	}
	refs, err := s.project.refs(ctx, r.real)
	if err != nil {
		return "", "", err
	}
	return c.Ref, refID(refs, "ref: "+c.Ref), nil
}

// check sees that commit follows old and that no commit on the way is refused.
func (q *quarantine) check(ctx context.Context, s *Session, r *sessionRepo, all []Commit, old, commit string) error {
	refused := map[string]string{}
	for _, c := range all {
		refused[c.ID] = c.Refused
	}
	base := r.base.stand()
	if old != "" {
		if _, err := q.call().Run(ctx, "merge-base", "--is-ancestor", old, commit); err != nil {
			return errors.New("the branch has moved outside: this would not be a fast-forward")
		}
		base["old"] = old
	}
	ids, err := q.between(ctx, commit, base)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if why, known := refused[id]; why != "" || !known {
			return fmt.Errorf("commit %.12s is refused: %s", id, why)
		}
	}
	return nil
}

// emptyTree is git's name for no files, which every repository knows.
func emptyTree(digits int) string {
	if digits == 64 {
		return "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321"
	}
	return "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
}

// indexChange lists the index entries to set, if the branch is checked out and
// goes from one commit to the other ("" for none), and refuses where the person
// has staged something else. c reads both commits.
func (p *Project) indexChange(ctx context.Context, c gitrun.Call, r Repo, name, from, to string) (string, error) {
	head, err := p.head(ctx, r)
	if err != nil || head != "ref: "+name {
		return "", err
	}
	for _, id := range []*string{&from, &to} {
		if *id == "" {
			*id = emptyTree(max(len(from), len(to)))
		}
	}
	out, err := c.Run(ctx, "diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--no-commit-id", from, to)
	if err != nil {
		return "", err
	}
	now, err := entries(ctx, r, filepath.Join(r.Dir, "index"))
	if err != nil {
		return "", err
	}
	var set strings.Builder
	f := gitrun.SplitZ(out)
	for i := 0; i+1 < len(f); i += 2 {
		m := strings.Fields(strings.TrimPrefix(f[i], ":"))
		if len(m) < 5 {
			return "", errors.New("git diff-tree cannot be read")
		}
		was, want := m[0]+" "+m[2]+" 0", m[1]+" "+m[3]+" 0"
		if m[0] == "000000" {
			was = ""
		}
		if m[1] == "000000" {
			want = ""
		}
		if e := now[f[i+1]]; e != was && e != want {
			return "", fmt.Errorf("%q is staged outside with other content", f[i+1])
		}
		if want == "" {
			want = "0 " + m[3]
		}
		fmt.Fprintf(&set, "%s\t%s\x00", want, f[i+1])
	}
	return set.String(), nil
}

// send packs what old does not reach and has git check it on the way in.
func (q *quarantine) send(ctx context.Context, to Repo, old, commit string) error {
	revs := commit + "\n"
	if old != "" {
		revs += "^" + old + "\n"
	}
	c := q.call()
	c.In = strings.NewReader(revs)
	list, err := c.Run(ctx, "rev-list", "--objects", "--missing=allow-any", "--stdin")
	if err != nil {
		return err
	}
	var pack bytes.Buffer
	c = q.call()
	c.In, c.Out = bytes.NewReader(list), &pack
	if _, err := c.Run(ctx, "pack-objects", "-q", "--stdout", "--window=0", "--delta-base-offset"); err != nil {
		return err
	}
	if _, err := (gitrun.Call{Repo: to, In: &pack, Locks: true}).Run(ctx, "index-pack", "--stdin", "--strict"); err != nil {
		return err
	}
	c = gitrun.Call{Repo: to, In: strings.NewReader(revs)}
	_, err = c.Run(ctx, "rev-list", "--objects", "--quiet", "--stdin")
	return err
}

// move moves the ref from exactly old to exactly new, "" for none, and sets the
// index.
func (p *Project) move(ctx context.Context, r Repo, name, old, to, why, entries string) error {
	c := gitrun.Call{Repo: r, Locks: true, Extra: p.committer(ctx)}
	none := strings.Repeat("0", max(len(old), len(to)))
	args := []string{"update-ref", "-m", "countersign: " + why, name, to, old}
	switch {
	case old == "":
		args[5] = none
	case to == "":
		args = []string{"update-ref", "-d", name, old}
	}
	if _, err := c.Run(ctx, args...); err != nil {
		return err
	}
	if entries == "" {
		return nil
	}
	off, err := filtersOff(ctx, r)
	if err != nil {
		return err
	}
	c = gitrun.Call{Repo: r, Work: filepath.Join(p.Root, r.Rel), Locks: true, In: strings.NewReader(entries), Extra: off}
	if _, err := c.Run(ctx, "update-index", "-z", "--index-info"); err != nil {
		return fmt.Errorf("the branch was moved, but the index could not be written (git reset in the real repository mends it): %w", err)
	}
	return nil
}

// GiveBack moves a ref that was taken over back to where it was, and the index
// with it. It refuses, with nothing changed, where either is no longer what
// TakeOver left. With dry it only looks. The objects stay, as git's own do.
func (p *Project) GiveBack(ctx context.Context, t Taken, dry bool) error {
	r, ok := p.RepoAt(t.Repo)
	fail := func(err error) error {
		return &countersign.Error{Code: countersign.EInvalid, Op: "give back commit", Thing: t.New, Err: err, Remedy: "move " + t.Ref + " yourself, with git reset or git branch -f, if you still want it back"}
	}
	if !ok {
		return fail(fmt.Errorf("no repository at %q", t.Repo))
	}
	refs, err := p.refs(ctx, r)
	if err != nil {
		return fail(err)
	}
	at := refID(refs, "ref: "+t.Ref)
	if at == t.Old {
		return nil // it never came, or is back already
	}
	if at != t.New {
		return fail(fmt.Errorf("%s stands at %.12s, not at the commit that the apply left there", t.Ref, at))
	}
	entries, err := p.indexChange(ctx, gitrun.Call{Repo: r}, r, t.Ref, t.New, t.Old)
	if err != nil {
		return fail(err)
	}
	if t.Old == "" && entries != "" && !t.Index {
		return fail(fmt.Errorf("%s is checked out now", t.Ref))
	}
	if dry {
		return nil
	}
	if err := p.move(ctx, r, t.Ref, t.New, t.Old, "give back "+t.New[:12], entries); err != nil {
		return fail(err)
	}
	return nil
}

// GiveBack is the project's, and keeps the session's own commits: they are new
// again.
func (s *Session) GiveBack(ctx context.Context, t Taken, dry bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.at(t.Repo)
	if err == nil {
		err = s.project.GiveBack(ctx, t, dry)
	}
	if err != nil || dry {
		return err
	}
	refs, err := s.project.refs(ctx, r.real)
	if err != nil {
		return err
	}
	head, err := s.project.head(ctx, r.real)
	if err != nil {
		return err
	}
	return s.saveBase(r, head, refs)
}

// committer names the person for the reflog.
func (p *Project) committer(ctx context.Context) []string {
	u := p.userSettings(ctx)
	if u.name == "" || u.email == "" {
		return []string{"user.name=countersign", "user.email=countersign@localhost"}
	}
	return []string{"user.name=" + u.name, "user.email=" + u.email}
}

// filtersOff are settings that disarm every filter a repository configures: git
// runs them even while writing an index, to look at files changed within the
// last second.
func filtersOff(ctx context.Context, r Repo) ([]string, error) {
	out, err := gitrun.Call{Repo: r}.Run(ctx, "config", "-z", "--name-only", "--list")
	if err != nil {
		return nil, err
	}
	var off []string
	for _, key := range gitrun.SplitZ(out) {
		section, sub, _ := gitkeys.Setting{Key: key}.Parts()
		if section == "filter" && sub != "" {
			for _, name := range []string{"clean", "smudge", "process"} {
				off = append(off, "filter."+sub+"."+name+"=")
			}
			off = append(off, "filter."+sub+".required=false")
		}
	}
	return off, nil
}
