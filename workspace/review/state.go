package review

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/diff"
	"github.com/countersign/countersign/internal/atomicfile"
	"github.com/countersign/countersign/workspace/apply"
)

// stateVersion is the version of review/state.json (docs/formats/review.md).
const stateVersion = 1

type state struct {
	Version   int                  `json:"version"`
	Session   string               `json:"session"`
	Decisions map[string]*decision `json:"decisions"` // by the digest of what the agent proposed
	Splits    map[string]bool      `json:"splits,omitempty"`
	Against   []apply.Name         `json:"against,omitempty"` // paths shown against the real file
}

// decision is what a person said of a hunk, and enough of the hunk to apply it
// after the layer has gone on.
type decision struct {
	State    countersign.HunkState `json:"state"`
	Digest   string                `json:"digest"` // what is bound; for an edited hunk over the person's bytes
	Proposed string                `json:"proposed,omitempty"`
	WasPost  string                `json:"was_post"` // sha256 of what the agent proposed
	Path     apply.Name            `json:"path"`
	OldPath  apply.Name            `json:"old_path,omitempty"`
	Op       countersign.Op        `json:"op"`
	OldMode  uint32                `json:"old_mode,omitempty"`
	NewMode  uint32                `json:"new_mode,omitempty"`
	Base     string                `json:"base,omitempty"`
	Range    [4]int                `json:"range"` // old start and lines, new start and lines
	Part     int                   `json:"part,omitempty"`
	PreSum   string                `json:"pre"`
	PreLen   int64                 `json:"pre_len"`
	PostSum  string                `json:"post"`
	PostLen  int64                 `json:"post_len"`
	Commit   string                `json:"commit,omitempty"`
	Branch   apply.Name            `json:"branch,omitempty"` // that is not checked out inside
	Risk     countersign.Risk      `json:"risk,omitempty"`
	Why      string                `json:"why,omitempty"`
}

func key(h countersign.Hunk) string {
	if h.Proposed != "" {
		return h.Proposed
	}
	return h.Digest
}

func (st *state) set(h countersign.Hunk) {
	was := h.PostSum
	if h.Proposed != "" {
		if d := st.Decisions[h.Proposed]; d != nil {
			was = d.WasPost
		}
	}
	st.Decisions[key(h)] = &decision{
		State: h.State, Digest: h.Digest, Proposed: h.Proposed, WasPost: was, Path: apply.Name(h.Path), OldPath: apply.Name(h.OldPath), Op: h.Op,
		OldMode: h.OldMode, NewMode: h.NewMode, Base: h.Base, Range: [4]int{h.OldStart, h.OldLines, h.NewStart, h.NewLines}, Part: h.Part,
		PreSum: h.PreSum, PreLen: h.PreLen, PostSum: h.PostSum, PostLen: h.PostLen, Commit: h.Commit, Branch: apply.Name(h.Branch), Risk: h.Risk, Why: h.Why,
	}
}

func (d *decision) hunk() countersign.Hunk {
	return countersign.Hunk{
		Digest: d.Digest, Proposed: d.Proposed, Path: string(d.Path), OldPath: string(d.OldPath), Op: d.Op, OldMode: d.OldMode, NewMode: d.NewMode,
		Base: d.Base, OldStart: d.Range[0], OldLines: d.Range[1], NewStart: d.Range[2], NewLines: d.Range[3], Part: d.Part,
		PreSum: d.PreSum, PreLen: d.PreLen, PostSum: d.PostSum, PostLen: d.PostLen, Commit: d.Commit, Branch: string(d.Branch), Risk: d.Risk, Why: d.Why, State: d.State,
	}
}

func (r *Review) load() (*state, error) {
	st := &state{Version: stateVersion, Session: r.session, Decisions: map[string]*decision{}, Splits: map[string]bool{}}
	p := filepath.Join(r.dir, "state.json")
	b, err := os.ReadFile(p)
	if errors.Is(err, fs.ErrNotExist) {
		return st, nil
	}
	if err == nil {
		err = json.Unmarshal(b, st)
	}
	if err != nil {
		return nil, &countersign.Error{Code: countersign.EInvalid, Op: "read the review", Thing: p, Err: err, Remedy: "move the file away: every hunk is shown again"}
	}
	if st.Version != stateVersion {
		return nil, &countersign.Error{Code: countersign.EInvalid, Op: "read the review", Thing: p, Err: fmt.Errorf("version %d is not known to this binary", st.Version), Remedy: "use the newer countersign that wrote it"}
	}
	st.Session = r.session // it may have been inherited
	if st.Decisions == nil {
		st.Decisions = map[string]*decision{}
	}
	if st.Splits == nil {
		st.Splits = map[string]bool{}
	}
	return st, nil
}

func (r *Review) save(st *state) error {
	b, err := json.Marshal(st)
	if err == nil {
		err = atomicfile.Write(filepath.Join(r.dir, "state.json"), b, 0o600)
	}
	if err != nil {
		return &countersign.Error{Code: countersign.EInternal, Op: "write the review", Thing: r.dir, Err: err, Remedy: "free some disk space; the decision was not taken"}
	}
	return nil
}

// carry brings the decisions to the hunks as they are now. An accepted hunk that
// the agent has gone beyond since, on the same base, is kept: its bytes are what
// was reviewed. One whose base changed is shown again as stale; a rejection
// stays. What the agent took back is gone.
func (st *state) carry(fresh []countersign.Hunk, passes []pass) (out []countersign.Hunk, kept map[string]bool, changed bool) {
	at := make(map[string][]int, len(fresh))
	like, back := map[string][]int{}, map[string][]int{}
	for i, h := range fresh {
		at[h.Digest] = append(at[h.Digest], i)
		like[likeness(h, h.PostSum)] = append(like[likeness(h, h.PostSum)], i)
		back[h.Path+h.PreSum+h.PostSum] = append(back[h.Path+h.PreSum+h.PostSum], i)
	}
	known := basesOf(passes)
	kept = map[string]bool{}
	out = fresh
	moved := map[string]*decision{}
	for k, d := range st.Decisions {
		h := d.hunk()
		if is, ok := at[k]; ok {
			for _, i := range is {
				take(&out[i], h)
			}
			continue
		}
		there := known.of(h)
		where, unmoved := there[h.Base]
		decided := d.State == countersign.Accepted || d.State == countersign.Edited
		if decided && unmoved {
			kept[k] = true
			h.Commit, h.Step = where.commit, where.step
			out = append(out, h)
			continue
		}
		changed = true
		delete(st.Decisions, k)
		again, to := like[likeness(h, d.WasPost)], countersign.Stale
		switch {
		case there == nil || unmoved || d.State == countersign.Applied && d.Proposed == "":
			continue
		case d.State == countersign.Rejected:
			to = countersign.Rejected
		case d.State == countersign.Applied:
			// The person's own bytes are in, and the layer still has the agent's:
			// that is what was turned down.
			again, to = back[h.Path+h.PostSum+d.WasPost], countersign.Rejected
		}
		for _, i := range again {
			if _, ok := st.Decisions[out[i].Digest]; ok || moved[out[i].Digest] != nil {
				continue
			}
			out[i].State = to
			var s state
			s.Decisions = moved
			s.set(out[i])
			break
		}
	}
	for k, d := range moved {
		st.Decisions[k] = d
	}
	return out, kept, changed
}

// take puts a decision on the hunk it was made of.
func take(h *countersign.Hunk, decided countersign.Hunk) {
	if decided.State == countersign.Edited || decided.State == countersign.Applied && decided.Proposed != "" {
		decided.Pre, decided.NewStart, decided.Risk, decided.Why, decided.Commit, decided.Step = h.Pre, h.NewStart, h.Risk, h.Why, h.Commit, h.Step
		*h = decided
		return
	}
	h.State = decided.State
}

// likeness is what two hunks share that do the same to different bases.
func likeness(h countersign.Hunk, post string) string {
	return h.Path + "\x00" + h.OldPath + "\x00" + string(h.Op) + "\x00" + h.PreSum + post
}

// from is the path in the base that a hunk works on.
func from(h countersign.Hunk) string {
	if h.OldPath != "" {
		return h.OldPath
	}
	return h.Path
}

// place is whose hunks stand on a version of a path.
type place struct {
	commit string
	step   int
}

// bases are versions that hunks are made against, by path and SHA-256.
type bases map[string]map[string]place

// of are those of a hunk's path; none for one of another branch: if it is not
// there any more, that branch went on, or is gone.
func (b bases) of(h countersign.Hunk) map[string]place {
	if h.Branch != "" {
		return nil
	}
	return b[from(h)]
}

// basesOf lists, for each path, the versions that hunks are made against.
func basesOf(passes []pass) bases {
	m := bases{}
	for n, p := range passes {
		if p.branch != "" {
			continue // nothing of it stands on what the others do
		}
		for _, c := range p.list {
			from, base := c.Path, ""
			if c.RenamedFrom != "" {
				from = c.RenamedFrom
			}
			if c.Base != nil {
				base = c.Base.SHA256
			}
			if m[from] == nil {
				m[from] = map[string]place{}
			}
			m[from][base] = place{c.Commit, n}
		}
	}
	return m
}

// overlap reports whether two hunks cannot both be applied.
func overlap(a, b countersign.Hunk) bool {
	if from(a) != from(b) && a.Path != b.Path {
		return false
	}
	lines := func(h countersign.Hunk) bool { return h.Op == countersign.OpModify }
	beside := func(h countersign.Hunk) bool { return h.Op == countersign.OpMode || h.Op == countersign.OpRename }
	switch {
	case lines(a) && lines(b):
		lo := func(h countersign.Hunk) int { return h.OldStart + min(h.OldLines, 1) - 1 }
		return lo(a) <= lo(b)+b.OldLines && lo(b) <= lo(a)+a.OldLines
	case lines(a) && beside(b), beside(a) && lines(b):
		return false
	case beside(a) && beside(b):
		return a.Op == b.Op
	}
	return true
}

// expand replaces split hunks by their pieces, and remembers what is proposed.
func (r *Review) expand(hs []countersign.Hunk, splits map[string]bool) []countersign.Hunk {
	out := make([]countersign.Hunk, 0, len(hs))
	for _, h := range hs {
		if splits[h.Digest] {
			whole := h
			if err := r.fill(&whole); err == nil {
				if pieces := diff.Split(whole); pieces != nil {
					out = append(out, r.expand(pieces, splits)...)
					continue
				}
			}
		}
		r.agents[h.Digest] = h
		out = append(out, h)
	}
	return out
}
