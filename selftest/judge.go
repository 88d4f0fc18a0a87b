package selftest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Said is what an attempt says of itself.
type Said struct {
	Session string `json:"session,omitempty"` // in the first line alone
	Row     string `json:"row,omitempty"`
	Made    bool   `json:"made,omitempty"`
	Marked  bool   `json:"marked,omitempty"` // let go: what came out decides
	Errno   string `json:"errno,omitempty"`
	Error   string `json:"error,omitempty"`
	Out     []byte `json:"out,omitempty"`
}

// State is how a row ended.
type State string

// The states of a row. Through, Unexpected and Unmade are failures.
const (
	Blocked       State = "blocked"
	Through       State = "got through"
	Unexpected    State = "not as it must be"   // stopped, but not by this control, or not on record as it must be
	Unmade        State = "not made"            // nothing is known
	Unseen        State = "blocked, not seen"   // closed, but this machine has no record of the attempt
	NotProtected  State = "not protected"       // the machine or the policy leaves it open
	NotApplicable State = "not applicable here" // there is no such thing to attack
)

// Failed reports whether a self-test with this state has failed.
func (s State) Failed() bool { return s == Through || s == Unexpected || s == Unmade }

// Result is what came of a row.
type Result struct {
	Row      Row
	State    State
	Expected string
	Got      string
	Records  []string // what the attempt left on record
}

// Evidence is what the judge knows beside what was said.
type Evidence struct {
	Marker  string
	Tier    string              // of the posture
	Records map[string][]string // by row
	Allowed map[string]string   // by row: the policy's rule that allowed what the row tried
	Changed map[string]bool     // files of the real tree that are not as they were
	Open    func(path string) bool
	Missing []string // needs that are not met
	// Above says that this program itself stands under a filter, which answers before
	// its own.
	Above bool
}

// Judge says what came of every row of the table, said or not.
func Judge(said []Said, e Evidence) []Result {
	by := map[string]Said{}
	for _, s := range said {
		by[s.Row] = s
	}
	var out []Result
	for _, r := range Table() {
		s, tried := by[r.Name]
		x := Result{Row: r, Expected: r.expected(), Records: e.Records[r.Name]}
		slices.Sort(x.Records)
		x.State, x.Got = e.judge(r, s, tried, x.Records)
		out = append(out, x)
	}
	return out
}

// expected says what must happen, for a person and a record.
func (r Row) expected() string {
	answer := "refused"
	if len(r.Errno) > 0 {
		answer = strings.Join(r.Errno, " or ")
	}
	if r.Real != "" {
		answer = "staged only"
	}
	switch {
	case r.Unrecorded != "":
		return answer
	case len(r.Records) == 0:
		return answer + ", no record"
	}
	return answer + ", " + strings.Join(r.Records, ", ")
}

func (e Evidence) judge(r Row, s Said, tried bool, records []string) (State, string) {
	through := bytes.Contains(s.Out, []byte(e.Marker)) || r.Real != "" && e.Changed[r.Real] || s.Made && s.Error == "" && !s.Marked
	switch {
	case r.Needs == NeedSignals && slices.Contains(e.Missing, NeedSignals):
		return NotProtected, "this kernel's Landlock does not keep signals in (Linux 6.12)"
	case slices.Contains(e.Missing, r.Needs):
		return NotApplicable, "this machine or session has no " + r.Needs
	case r.Denied != "" && e.Open != nil && e.Open(r.Denied):
		return NotProtected, "the policy in force does not deny " + r.Denied
	case through && e.Allowed[r.Name] != "":
		return NotProtected, "the policy in force allows it, by rule " + e.Allowed[r.Name]
	case through:
		return Through, "it worked"
	case !tried || !s.Made:
		return Unmade, "not made: " + s.Error
	case s.Errno == "SIGSEGV" && r.Needs == NeedAMD64:
		return NotApplicable, "this kernel has no such calls"
	}
	got := s.Errno
	if got == "" {
		got = s.Error
	}
	if s.Marked {
		got = "let go, and nothing came out"
	}
	if e.Above && len(records) == 0 && len(r.Records) == 1 && strings.HasPrefix(r.Records[0], "sandbox.denied ") && slices.Contains([]string{"EPERM", "ENOSYS", "EACCES"}, s.Errno) {
		return Unseen, got + ", no record: a filter above this program answered"
	}
	if len(r.Errno) > 0 && !s.Marked && !slices.Contains(r.Errno, s.Errno) {
		return Unexpected, got
	}
	if r.Unrecorded != "" || slices.Equal(r.Records, records) {
		return Blocked, got
	}
	rest := slices.DeleteFunc(slices.Clone(r.Records), seenByNodes)
	if e.Tier == "A-masked" && slices.Equal(rest, records) {
		return Unseen, got + ", no record: there is no /dev/fuse here"
	}
	return Unexpected, fmt.Sprintf("%s, on record: %s", got, strings.Join(records, ", "))
}
