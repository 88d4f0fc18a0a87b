package countersign

import "time"

// Verdict is what policy says. Deny beats ask beats allow, whatever the order.
type Verdict string

// The verdicts.
const (
	Deny  Verdict = "deny"
	Ask   Verdict = "ask"
	Allow Verdict = "allow"
)

// Stricter returns the stricter of two verdicts; an empty one is weakest.
func Stricter(a, b Verdict) Verdict {
	rank := map[Verdict]int{Allow: 1, Ask: 2, Deny: 3}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// Ruling is a verdict and where it comes from.
type Ruling struct {
	Verdict Verdict
	Rule    string // id of the rule, or "default"
	Reason  string
	Layer   string // built-in, organisation, user, project
	Pos     string // file:line, empty for built-in rules
	Bundle  string // "sha256:…" of the policy in force
	Alone   bool   // what the command itself starts is not covered
	Debugs  bool   // it may trace what it starts, which is then not compared at its exec
}

// Basis says what a decision rests on.
type Basis string

// The bases of a decision.
const (
	ByLaunch   Basis = "launch"   // the agent's own launch chain
	ByPolicy   Basis = "policy"   // a rule allowed or denied it
	ByPerson   Basis = "person"   // a person answered this request
	ByGrant    Basis = "grant"    // a standing approval covers it
	ByLate     Basis = "late"     // an approval given after the attempt had timed out
	ByEarly    Basis = "early"    // an answer given before the attempt, when the model asked for it
	ByCover    Basis = "covered"  // runs below an approved command
	ByTimeout  Basis = "timeout"  // nobody answered
	ByHeadless Basis = "headless" // nobody could be asked
	ByFault    Basis = "fault"    // the ledger, the desk or a check failed: closed
	BySelftest Basis = "selftest" // a self-test answered for itself, in its own canary project
)

// MeansSelftest is by what means a self-test answers.
const MeansSelftest = "selftest"

// Decision is the end of the asking: the verdict, never Ask, and its basis.
type Decision struct {
	Verdict Verdict
	Basis   Basis
	Ruling  Ruling
	// Approval is the person's answer, if one was given.
	Approval *Approval
	Grant    string // id of the record that gave the standing approval it rests on
	Reason   string
}

// Scope is how far an approval reaches.
type Scope string

// The scopes of an approval.
const (
	ScopeOnce    Scope = "once"
	ScopeSession Scope = "session" // the same reuse key, to the end of the session
	ScopeProject Scope = "project" // the same reuse key in the project's sessions, to a date
)

// Approval is a person's answer to a request, yes or no.
type Approval struct {
	Granted bool
	By      string // user name
	Means   string // tty (the session's terminal), cli (another terminal of the user)
	Shown   string // "sha256:…" of the rendered bytes
	ShownMS int64  // how long they stood before the answer
	Scope   Scope
	Until   time.Time // zero: no end of its own
	Reason  string
	// Confirmed is the word that was typed where the request asks for one.
	Confirmed string
}

// Permit is the single-use right to carry out one exact action. Only the gate
// issues one, and only after the decision's record is durable (for a covered
// exec: written).
type Permit struct {
	Record string // id of the decision's record
	Seq    uint64
	Digest string // action digest
	Covers bool   // what the permitted command starts is covered by it
	Debugs bool   // it may trace what it covers
	Basis  Basis  // what the decision rests on
}
