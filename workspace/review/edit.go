package review

import (
	"bytes"
	"errors"
	"io"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/diff"
)

// Split replaces a hunk by smaller ones, undecided, and returns them.
func (r *Review) Split(id string) ([]countersign.Hunk, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, err := r.find(id)
	if err != nil {
		return nil, err
	}
	h := r.hunks[i]
	if h.Proposed != "" || h.State == countersign.Applied {
		return nil, &countersign.Error{Code: countersign.EUsage, Op: "split hunk", Thing: id, Err: errors.New("it is edited or applied already")}
	}
	if err := r.fill(&h); err != nil {
		return nil, err
	}
	h.State = countersign.Undecided
	pieces := diff.Split(h)
	if pieces == nil {
		return nil, &countersign.Error{Code: countersign.EUsage, Op: "split hunk", Thing: id, Err: errors.New("it cannot be made smaller")}
	}
	err = r.locked(func(st *state) (bool, error) {
		st.Splits[h.Digest] = true
		delete(st.Decisions, h.Digest)
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	for _, p := range pieces {
		r.agents[p.Digest] = p
	}
	r.hunks = append(append(r.hunks[:i:i], pieces...), r.hunks[i+1:]...)
	diff.SetIDs(r.hunks)
	return append([]countersign.Hunk(nil), r.hunks[i:i+len(pieces)]...), nil
}

// Edit accepts a hunk with the person's own bytes in place of the agent's. Where
// lines follow, a missing last newline is added, or the next line would be
// joined.
func (r *Review) Edit(id string, post []byte) (countersign.Hunk, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, err := r.find(id)
	if err != nil {
		return countersign.Hunk{}, err
	}
	h := r.proposed(r.hunks[i])
	if h.Op != countersign.OpModify && h.Op != countersign.OpCreate || h.State == countersign.Applied {
		return countersign.Hunk{}, &countersign.Error{Code: countersign.EUsage, Op: "edit hunk", Thing: id, Err: errors.New("only lines and new files can be edited, before they are applied")}
	}
	if h.Branch != "" {
		return countersign.Hunk{}, &countersign.Error{Code: countersign.EUsage, Op: "edit hunk", Thing: id, Err: errors.New("it is of a commit on another branch, which comes as it is or not at all"), Remedy: "accept or reject it"}
	}
	if err := r.fill(&h); err != nil {
		return countersign.Hunk{}, err
	}
	ended := bytes.HasSuffix(h.Pre, []byte{'\n'}) || bytes.HasSuffix(h.Post, []byte{'\n'})
	if h.Op == countersign.OpModify && ended && len(post) > 0 && post[len(post)-1] != '\n' {
		post = append(bytes.Clone(post), '\n')
	}
	e := h
	e.Proposed, e.State, e.Post, e.PostSum = h.Digest, countersign.Edited, append([]byte{}, post...), ""
	e.NewLines = len(diff.Lines(post))
	e = diff.Sum(e)
	e.Digest = diff.Digest(e)
	if err := r.keepBytes(e); err != nil {
		return countersign.Hunk{}, err
	}
	// The proposal is written down first: it is where the edit leads back to.
	if err := r.locked(func(st *state) (bool, error) {
		if st.Decisions[h.Digest] == nil {
			st.set(h)
		}
		return true, nil
	}); err != nil {
		return countersign.Hunk{}, err
	}
	return e, r.commit([]int{i}, []countersign.Hunk{e})
}

// proposed gives an edited hunk back as the agent has it. What the agent has gone
// beyond since is not known any more: it stays the person's.
func (r *Review) proposed(h countersign.Hunk) countersign.Hunk {
	a, ok := r.agents[h.Proposed]
	if h.Proposed == "" || !ok {
		return h
	}
	a.ID, a.Risk, a.Why, a.Commit, a.Step = h.ID, h.Risk, h.Why, h.Commit, h.Step
	return a
}

// Load fills Pre and Post of a hunk that was too large to be held.
func (r *Review) Load(h *countersign.Hunk) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fill(h)
}

// Base returns the whole old file that a hunk stands in.
func (r *Review) Base(h countersign.Hunk) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes(h, h.Base)
}

func (r *Review) fill(h *countersign.Hunk) (err error) {
	if h.Pre == nil && h.PreLen > 0 {
		if h.Pre, err = r.bytes(*h, h.PreSum); err != nil {
			return err
		}
	}
	if h.Post == nil && h.PostLen > 0 {
		h.Post, err = r.bytes(*h, h.PostSum)
	}
	return err
}

func (r *Review) bytes(h countersign.Hunk, sum string) ([]byte, error) {
	if r.store.Has(sum) {
		return r.store.Bytes(sum)
	}
	src := r.sources[sum]
	if src == nil {
		return nil, &countersign.Error{Code: countersign.ENotFound, Op: "read the bytes of hunk", Thing: h.ID, Err: errors.New("they are gone from the layer"), Remedy: "countersign review --list"}
	}
	rd, err := src()
	if err != nil {
		return nil, err
	}
	defer rd.Close()
	return io.ReadAll(rd)
}

// Applied marks hunks, by digest, as applied.
func (r *Review) Applied(digests ...string) error {
	return r.mark(countersign.Applied, digests)
}

// Stale marks hunks, by digest, as stale: apply found that their base drifted.
func (r *Review) Stale(digests ...string) error {
	return r.mark(countersign.Stale, digests)
}

// Undone marks hunks, by digest, as undecided again after an undo.
func (r *Review) Undone(digests ...string) error {
	return r.mark(countersign.Undecided, digests)
}

func (r *Review) mark(to countersign.HunkState, digests []string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	want := make(map[string]bool, len(digests))
	for _, d := range digests {
		want[d] = true
	}
	err := r.locked(func(st *state) (changed bool, err error) {
		for k, d := range st.Decisions {
			if !want[d.Digest] && !want[k] {
				continue
			}
			changed = true
			if to == countersign.Undecided {
				delete(st.Decisions, k)
			} else {
				d.State = to
			}
		}
		return changed, nil
	})
	if err != nil {
		return err
	}
	for i, h := range r.hunks {
		if !want[h.Digest] {
			continue
		}
		if to == countersign.Undecided {
			r.hunks[i] = r.proposed(h)
		}
		r.hunks[i].State = to
	}
	return nil
}
