// Package review holds the hunks of one session and where each stands.
//
// It promises that a decision is kept under the digest of exactly what was
// shown; that the bytes of an accepted hunk are in the content store, durable,
// before the acceptance is; that a decision survives a restart and a second
// reviewing process; and that a hunk whose base changed is shown again. It may
// touch the session's state directory and read what the staging layer hands it.
// It must never write a project's file, and never decides by itself.
package review

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/diff"
	"github.com/countersign/countersign/internal/filelock"
	"github.com/countersign/countersign/workspace/apply"
	"github.com/countersign/countersign/workspace/store"
	"github.com/countersign/countersign/workspace/tree"
)

// Review is one session's changeset under review. Its methods may be called
// from several goroutines.
type Review struct {
	dir     string
	session string
	store   *store.Store

	mu      sync.Mutex
	hunks   []countersign.Hunk
	ignored int
	chain   []Commit // those made on the branch checked out, without their hunks
	real    func(string) (*tree.State, bool)
	against []apply.Name
	kept    map[string]bool             // digests of accepted hunks that the layer has gone beyond
	sources map[string]source           // where bytes can be read, by SHA-256
	agents  map[string]countersign.Hunk // what the agent proposes, by digest
	cache   map[string]cached           // per path, what was computed from which versions
	seen    map[string]seen             // by path
	record  Recorder
	repos   map[int]string // of the commits on other branches, by step
}

// Recorder puts decisions on record; load fills the bytes of one hunk.
type Recorder func(hs []countersign.Hunk, load func(*countersign.Hunk) error) error

// source reads bytes that are expected to have a certain hash.
type source func() (*store.Checked, error)

// Open opens the review of a session in the session's state directory.
func Open(dir, session string) (*Review, error) {
	d := filepath.Join(dir, "review")
	if err := os.MkdirAll(d, 0o700); err != nil {
		return nil, &countersign.Error{Code: countersign.EInternal, Op: "open the review", Thing: dir, Err: err}
	}
	st, err := store.Open(filepath.Join(d, "store"))
	if err != nil {
		return nil, err
	}
	r := &Review{dir: d, session: session, store: st, sources: map[string]source{}}
	if _, err := r.load(); err != nil {
		return nil, err
	}
	return r, nil
}

// Inherit brings the decisions of one session, with their bytes, to the session
// that goes on with its layer, before that one is reviewed. The directories are
// the sessions'.
func Inherit(from, to string) error {
	err := os.Rename(filepath.Join(from, "review"), filepath.Join(to, "review"))
	if errors.Is(err, os.ErrNotExist) {
		return nil // nothing was decided
	}
	if err != nil {
		return &countersign.Error{Code: countersign.EInternal, Op: "take on the review of", Thing: from, Err: err}
	}
	return nil
}

// Record sets what puts each decision on record before it is taken: one that
// cannot be recorded is not taken. f must not call r.
func (r *Review) Record(f Recorder) { r.record = f }

// Store is the store of the reviewed bytes: apply writes from it.
func (r *Review) Store() *store.Store { return r.store }

// Update computes the hunks anew from what the layer holds now and brings the
// decisions along. risk says what the policy thinks of a path; ignoredListed
// names the ignored files that are hunks all the same.
func (r *Review) Update(changes []tree.Change, risk func(string) (countersign.Risk, string), ignoredListed func(string) bool) (countersign.Changeset, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ignored := 0
	listed := make([]tree.Change, 0, len(changes))
	for _, c := range changes {
		if c.Ignored && len(c.Steps) == 0 && (ignoredListed == nil || !ignoredListed(c.Path)) {
			ignored++
			continue
		}
		listed = append(listed, c)
	}
	st, err := r.load()
	if err != nil {
		return countersign.Changeset{}, err
	}
	now := make(map[string]seen, len(listed))
	for _, c := range listed {
		if c.Aside == nil {
			now[c.Path] = seen{staged: c.Staged}
		}
	}
	clash := r.turn(listed, st)
	for _, c := range listed {
		if c.Aside == nil {
			now[c.Path] = seen{now[c.Path].staged, c}
		}
	}
	set := &builder{store: r.store, cache: r.cache, next: map[string]cached{}, sources: map[string]source{}, risk: risk, passes: r.passes(listed, st)}
	fresh, err := set.build()
	if err != nil {
		return countersign.Changeset{}, err
	}
	err = r.locked(func(st *state) (bool, error) {
		r.agents = map[string]countersign.Hunk{}
		fresh = r.expand(fresh, st.Splits)
		var changed bool
		fresh, r.kept, changed = st.carry(fresh, set.passes)
		return changed, nil
	})
	if err != nil {
		return countersign.Changeset{}, err
	}
	clash.mark(fresh)
	sortHunks(fresh)
	diff.SetIDs(fresh)
	r.hunks, r.ignored, r.sources, r.cache, r.seen = fresh, ignored, set.sources, set.next, now
	return r.changeset(), nil
}

// Changeset is the state of the last Update and the decisions since.
func (r *Review) Changeset() countersign.Changeset {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changeset()
}

func (r *Review) changeset() countersign.Changeset {
	return countersign.Changeset{Session: r.session, Hunks: slices.Clone(r.hunks), Ignored: r.ignored}
}

// Ready returns the hunks to be applied: accepted and edited ones, but for those
// of branches that are not checked out.
func (r *Review) Ready() []countersign.Hunk {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []countersign.Hunk
	for _, h := range r.hunks {
		if h.Branch == "" && (h.State == countersign.Accepted || h.State == countersign.Edited) {
			out = append(out, h)
		}
	}
	return out
}

// Find returns the hunk that an id, or a longer prefix of its digest, names.
func (r *Review) Find(id string) (countersign.Hunk, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, err := r.find(id)
	if err != nil {
		return countersign.Hunk{}, err
	}
	return r.hunks[i], nil
}

func (r *Review) find(id string) (int, error) {
	want := strings.TrimPrefix(id, "sha256:")
	found := -1
	for i, h := range r.hunks {
		d := strings.TrimPrefix(h.Digest, "sha256:")
		if len(want) < 4 || !strings.HasPrefix(d, want) && h.ID != want && (h.Proposed == "" || !strings.HasPrefix(h.Proposed, "sha256:"+want)) {
			continue
		}
		if found >= 0 && h.Digest == r.hunks[found].Digest {
			continue // two commits do the very same
		}
		if found >= 0 {
			return 0, &countersign.Error{Code: countersign.EUsage, Op: "find hunk", Thing: id, Err: errors.New("more than one begins so"), Remedy: "give more digits"}
		}
		found = i
	}
	if found < 0 {
		return 0, &countersign.Error{Code: countersign.ENotFound, Op: "find hunk", Thing: id, Err: errors.New("there is none of that id now: it changed, or is gone"), Remedy: "countersign review --list"}
	}
	return found, nil
}

// Accept accepts the named hunks, all or none. Their bytes are in the store and
// durable before the decision is.
func (r *Review) Accept(ids ...string) ([]countersign.Hunk, error) {
	return r.decide(countersign.Accepted, ids)
}

// Reject rejects the named hunks, all or none.
func (r *Review) Reject(ids ...string) ([]countersign.Hunk, error) {
	return r.decide(countersign.Rejected, ids)
}

// AcceptFile accepts every hunk of a path that is not decided, those of high
// risk too: naming the file names them. It is an error if there are none at all.
func (r *Review) AcceptFile(path string) ([]countersign.Hunk, error) {
	return r.choose(countersign.Accepted, path, func(h countersign.Hunk) bool { return h.Path == path || h.OldPath == path })
}

// RejectFile rejects every hunk of a path that is not decided.
func (r *Review) RejectFile(path string) ([]countersign.Hunk, error) {
	return r.choose(countersign.Rejected, path, func(h countersign.Hunk) bool { return h.Path == path || h.OldPath == path })
}

// AcceptAll accepts what is undecided and not of high risk. Stale hunks are
// not: they want another look.
func (r *Review) AcceptAll() ([]countersign.Hunk, error) {
	return r.choose(countersign.Accepted, "", func(h countersign.Hunk) bool {
		return h.Risk != countersign.RiskHigh && h.State == countersign.Undecided
	})
}

func (r *Review) choose(to countersign.HunkState, path string, want func(countersign.Hunk) bool) ([]countersign.Hunk, error) {
	r.mu.Lock()
	var ids []string
	some := path == ""
	for _, h := range r.hunks {
		if want(h) {
			some = true
			if h.State == countersign.Undecided || h.State == countersign.Stale {
				ids = append(ids, h.Digest)
			}
		}
	}
	r.mu.Unlock()
	if !some {
		return nil, &countersign.Error{Code: countersign.ENotFound, Op: "find hunks of", Thing: path, Err: errors.New("nothing is changed there"), Remedy: "countersign review --list"}
	}
	return r.decide(to, ids)
}

// lockWait bounds the wait for another reviewing process, which holds the lock
// only while it writes one small file.
const lockWait = 20 * time.Second

// locked runs f on the state on disk, under the lock, and writes it if f says
// so.
func (r *Review) locked(f func(*state) (changed bool, err error)) error {
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	unlock, err := filelock.Lock(ctx, filepath.Join(r.dir, "lock"))
	if err != nil {
		return &countersign.Error{Code: countersign.EInternal, Op: "lock the review", Thing: r.dir, Err: err, Remedy: "end the other review of this session"}
	}
	defer unlock()
	st, err := r.load()
	if err != nil {
		return err
	}
	changed, err := f(st)
	if err != nil || !changed {
		return err
	}
	return r.save(st)
}

// decide brings the named hunks to a state. Two commits may do the very same to a
// path, one after the other: what is said of one holds for both.
func (r *Review) decide(to countersign.HunkState, ids []string) ([]countersign.Hunk, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := make([]int, 0, len(ids))
	index := make(map[string][]int, len(r.hunks))
	for i, h := range r.hunks {
		index[h.Digest] = append(index[h.Digest], i)
	}
	for _, id := range ids {
		if len(index[id]) == 0 {
			i, err := r.find(id)
			if err != nil {
				return nil, err
			}
			id = r.hunks[i].Digest
		}
		if h := r.hunks[index[id][0]]; h.State == countersign.Applied {
			return nil, &countersign.Error{Code: countersign.EUsage, Op: "decide on hunk", Thing: h.ID, Err: errors.New("it has been applied"), Remedy: "countersign review --undo"}
		}
		at = append(at, index[id]...)
	}
	slices.Sort(at)
	at = slices.Compact(at)
	out := make([]countersign.Hunk, len(at))
	for n, i := range at {
		h := r.hunks[i]
		if to == countersign.Rejected && h.State == countersign.Edited {
			h = r.proposed(h)
		}
		if h.State != countersign.Edited || to == countersign.Rejected {
			h.State = to // accepting an edited hunk leaves it edited
		}
		if to == countersign.Accepted {
			if err := r.keepBytes(h); err != nil {
				return nil, err
			}
		}
		out[n] = h
	}
	return out, r.commit(at, out)
}

// commit makes decisions durable: the bytes, the record, then the decisions.
func (r *Review) commit(at []int, hs []countersign.Hunk) error {
	if err := r.store.Flush(); err != nil {
		return err
	}
	if r.record != nil {
		if err := r.record(hs, r.fill); err != nil {
			return err
		}
	}
	gone := map[string]bool{}
	err := r.locked(func(st *state) (bool, error) {
		old := map[string][]string{} // what the agent has gone beyond, by path
		for k := range r.kept {
			if d := st.Decisions[k]; d != nil {
				old[from(d.hunk())] = append(old[from(d.hunk())], k)
			}
		}
		for _, h := range hs {
			st.set(h)
			if h.State == countersign.Rejected {
				continue
			}
			for _, k := range append(old[from(h)], old[h.Path]...) {
				if d := st.Decisions[k]; d != nil && k != key(h) && d.Base == h.Base && overlap(d.hunk(), h) {
					delete(st.Decisions, k)
					gone[k] = true
				}
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	for n, i := range at {
		r.hunks[i] = hs[n]
	}
	r.hunks = slices.DeleteFunc(r.hunks, func(h countersign.Hunk) bool { return gone[key(h)] })
	return nil
}

// keepBytes puts into the store what apply will need of a hunk.
func (r *Review) keepBytes(h countersign.Hunk) error {
	switch {
	case h.PostLen == 0:
	case h.Post != nil:
		if sum, err := r.store.PutBytes(h.Post); err != nil {
			return err
		} else if sum != h.PostSum {
			return fmt.Errorf("hunk %s: %w", h.ID, store.ErrBytes)
		}
	case !r.store.Has(h.PostSum):
		if err := r.copyIn(h, h.PostSum); err != nil {
			return err
		}
	}
	if h.Op != countersign.OpModify {
		return nil
	}
	if h.Pre != nil {
		if _, err := r.store.PutBytes(h.Pre); err != nil {
			return err
		}
	}
	if r.store.Has(h.Base) {
		return nil
	}
	return r.copyIn(h, h.Base)
}

// copyIn copies bytes that were too many for memory, if they are still those
// that were shown.
func (r *Review) copyIn(h countersign.Hunk, sum string) error {
	src := r.sources[sum]
	if src == nil {
		return &countersign.Error{Code: countersign.ENotFound, Op: "read the bytes of hunk", Thing: h.ID, Err: errors.New("they are gone from the layer"), Remedy: "countersign review --list"}
	}
	rd, err := src()
	if err == nil {
		_, _, err = r.store.Put(rd)
		rd.Close()
	}
	if errors.Is(err, store.ErrBytes) || errors.Is(err, os.ErrNotExist) {
		return &countersign.Error{Code: countersign.ENotFound, Op: "accept hunk", Thing: h.ID, Err: errors.New("the file changed after it was shown"), Remedy: "countersign review --list"}
	}
	return err
}
