package gitview

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"syscall"

	"github.com/countersign/countersign/internal/gitkeys"
	"github.com/countersign/countersign/workspace/gitstore"
)

// alternates are the objects that git inside reads beside its own. What the last
// line names is not in reach of git on the host.
const alternates = "../countersign/objects\n../countersign/objects/" + gitstore.StandIns + "\n"

// hide makes git inside go on where history touches a denied path: it reads a
// stand-in, and checks none of those paths out (git-sparse-checkout(1)), since a
// file that holds the stand-in would always count as modified. Where both sides of
// a merge changed one, both stand-ins come into the commit, which is then not taken
// over: there is nobody inside who could resolve it. Lines of the agent stay; lines
// of ours that it took out come back.
func (s *Session) hide(ctx context.Context, r *sessionRepo) error {
	err := s.hideNow(ctx, r)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.EBUSY) {
		return nil // a lock: git inside is at it, or was killed there; what it reads is safe anyway
	}
	return err
}

func (s *Session) hideNow(ctx context.Context, r *sessionRepo) error {
	a, err := s.agent(r)
	if err != nil {
		return err
	}
	defer a.close()
	if b, err := a.read("objects/info/alternates"); err != nil || !strings.HasPrefix(string(b), alternates) {
		if err := a.replace("objects/info/alternates", []byte(alternates)); err != nil {
			return err
		}
	}
	paths := r.store.DeniedPaths()
	if len(paths) == 0 {
		return nil
	}
	all, sparse, err := s.settings(ctx, r)
	if err != nil {
		return err
	}
	if all != nil {
		if err := s.setConfig(r, a, gitkeys.Format(all)); err != nil {
			return err
		}
	}
	leaveOut := func(pattern string) string { return "!/" + pattern }
	if err := a.addLines("info/sparse-checkout", "/*\n", !sparse && all != nil, paths, leaveOut); err != nil {
		return err
	}
	return a.addLines("info/attributes", "", false, paths, func(pattern string) string {
		return `"/` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(pattern) + `" merge=union`
	})
}

// addLines gives a file of patterns (gitignore(5)) the line of each path that it
// has not. Without content, or with fresh, it begins anew with first.
func (a agentDir) addLines(name, first string, fresh bool, paths []string, line func(pattern string) string) error {
	b, err := a.read(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	was := string(b)
	if len(b) == 0 || fresh {
		was = first
	}
	known := map[string]bool{}
	for l := range strings.Lines(was) {
		known[strings.TrimSuffix(l, "\n")] = true
	}
	now := was
	if now != "" && !strings.HasSuffix(now, "\n") {
		now += "\n"
	}
	var more strings.Builder
	for _, p := range paths {
		if l := line(pattern(p)); !known[l] && !strings.ContainsAny(p, "\n\r") { // a pattern has one line
			more.WriteString(l + "\n")
		}
	}
	if now += more.String(); now == string(b) {
		return nil
	}
	return a.replace(name, []byte(now))
}

func pattern(rel string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, " ", `\ `).Replace(rel)
}

// sparseKeys leave the files of denied paths out of every checkout. What lies
// there nevertheless, a tripwire, is not looked at.
var sparseKeys = []gitkeys.Setting{
	{Key: "core.sparseCheckout", Value: "true"},
	{Key: "core.sparseCheckoutCone", Value: "false"},
	{Key: "sparse.expectFilesOutsideOfPatterns", Value: "true"},
	{Key: "index.sparse", Value: "false"},
}

// settings returns the configuration with the sparse keys set, nil if they are,
// and whether the person's own checkout is sparse.
func (s *Session) settings(ctx context.Context, r *sessionRepo) (all []gitkeys.Setting, sparse bool, err error) {
	if all, err = s.Texts.Settings(ctx, path.Join(r.inside, "config")); err != nil {
		return nil, false, err
	}
	have := map[string]string{}
	for _, x := range all {
		have[strings.ToLower(x.Key)] = x.Value
	}
	sparse = have["core.sparsecheckout"] == "true"
	n := len(all)
	for _, x := range sparseKeys {
		if have[strings.ToLower(x.Key)] != x.Value {
			all = append(all, x)
		}
	}
	if len(all) == n {
		return nil, sparse, nil
	}
	return all, sparse, nil
}

// Withheld are the blobs of one repository that a session does not get.
type Withheld struct {
	Dir   string            // inside: the directory of objects that stand in for them
	Paths map[string]string // id of a blob to a denied path at which it stands, below the project's root
}

// Withheld is asked again after each Sync.
func (s *Session) Withheld() []Withheld {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Withheld
	for i := range s.repos {
		r := &s.repos[i]
		w := Withheld{Dir: path.Join(r.inside, "countersign/objects", gitstore.StandIns), Paths: r.store.Withheld()}
		for id, p := range w.Paths {
			w.Paths[id] = path.Join(r.real.Rel, p)
		}
		all = append(all, w)
	}
	return all
}

// Loose is what stands in for a blob, as a loose object.
func Loose(id string) []byte { return gitstore.Loose(id) }

// StandIn tells whether a file of so many bytes holds what a session reads in
// place of withheld content. It opens it only if it may.
func StandIn(size int64, open func() (io.ReadCloser, error)) bool {
	if !gitstore.StandInSize(size) {
		return false
	}
	r, err := open()
	if err != nil {
		return false
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, size+1))
	return err == nil && gitstore.IsStandIn(b)
}
