package countersign

import "encoding/json"

// Record is one line of the audit trail, schema v1. The ledger fills V, Node,
// Epoch, Seq, Prev and T; whoever reports fills the rest. Readers keep unknown
// fields. No payload's plain text and no secret may stand in it.
type Record struct {
	V     int    `json:"v"`
	ID    string `json:"id"` // UUIDv7 (RFC 9562)
	Node  string `json:"node"`
	Epoch uint64 `json:"epoch"`
	Seq   uint64 `json:"seq"`
	Prev  string `json:"prev"` // "sha256:…" of the previous leaf
	T     Time   `json:"t"`

	Type    string `json:"type"`
	Org     string `json:"org,omitempty"`
	Session string `json:"session,omitempty"`
	Turn    int    `json:"turn,omitempty"`
	Call    string `json:"call,omitempty"`
	Parent  string `json:"parent,omitempty"`
	Trace   string `json:"trace,omitempty"`

	Actor    *Actor          `json:"actor,omitempty"`
	Agent    *Agent          `json:"agent,omitempty"`
	Action   *ActionRecord   `json:"action,omitempty"`
	Policy   *PolicyRecord   `json:"policy,omitempty"`
	Decision *DecisionRecord `json:"decision,omitempty"`
	Outcome  *Outcome        `json:"outcome,omitempty"`
	Model    *Model          `json:"model,omitempty"`
	Usage    *Usage          `json:"usage,omitempty"`
	Cost     *Cost           `json:"cost,omitempty"`
	Payloads []Payload       `json:"payloads,omitempty"`
	Cov      *Coverage       `json:"cov,omitempty"`
	Canary   bool            `json:"canary,omitempty"`
	// Detail holds what belongs to one type only; docs/formats/record.md lists it.
	Detail map[string]any `json:"detail,omitempty"`
}

// Time is when a record was made.
type Time struct {
	Wall   string `json:"wall"`    // RFC 3339, UTC, nanoseconds
	MonoNS int64  `json:"mono_ns"` // since the ledger process started
	Boot   string `json:"boot,omitempty"`
}

// Actor is who acted: a person, an agent's process, or Countersign itself.
type Actor struct {
	Kind string `json:"kind"` // human, agent, system
	ID   string `json:"id,omitempty"`
	Peer *Peer  `json:"peer,omitempty"`
}

// Agent names the agent of the session.
type Agent struct {
	Name string `json:"name"`
	Ver  string `json:"ver,omitempty"`
}

// ActionRecord is an action as a leaf keeps it: redacted, with its digest.
type ActionRecord struct {
	Kind    Kind     `json:"kind"`
	Digest  string   `json:"digest,omitempty"`
	Risk    string   `json:"risk,omitempty"`
	Summary string   `json:"summary,omitempty"`
	Argv    []string `json:"argv,omitempty"`
	Cwd     string   `json:"cwd,omitempty"`
	Path    string   `json:"path,omitempty"`
	Exe     string   `json:"exe,omitempty"` // "sha256:…" of the executable
	Env     []string `json:"env,omitempty"` // names that differ from the session's
	Host    string   `json:"host,omitempty"`
	Port    int      `json:"port,omitempty"`
	Op      string   `json:"op,omitempty"`
	// What policy looks at besides: how the program was named, where that is not
	// its path; whether it lies where the session can write; interpreters and
	// script operands by path.
	Invoked  string   `json:"invoked,omitempty"`
	Writable bool     `json:"writable,omitempty"`
	Interp   []string `json:"interp,omitempty"`
	Scripts  []string `json:"scripts,omitempty"`
}

// PolicyRecord says which policy spoke.
type PolicyRecord struct {
	Bundle string `json:"bundle"`
	Preset string `json:"preset,omitempty"` // the loosest that a layer builds on
	Rule   string `json:"rule,omitempty"`
}

// DecisionRecord is a decision as a leaf keeps it.
type DecisionRecord struct {
	Verdict Verdict `json:"verdict"`
	Basis   Basis   `json:"basis"`
	By      string  `json:"by"` // empty where no person decided
	Means   string  `json:"means,omitempty"`
	Shown   string  `json:"shown"` // empty where nothing was shown
	ShownMS int64   `json:"shown_ms,omitempty"`
	Scope   Scope   `json:"scope,omitempty"`
	Reason  string  `json:"reason,omitempty"`
	Sig     string  `json:"sig,omitempty"`
	// Until is when a standing approval ends: RFC 3339, UTC; empty where it has no
	// end of its own.
	Until     string `json:"until,omitempty"`
	Confirmed string `json:"confirmed,omitempty"` // the word that was typed
	Grant     string `json:"grant,omitempty"`     // id of the grant.given it rests on
	GivesUp   string `json:"gives_up,omitempty"`  // what no longer holds for what was allowed
}

// Outcome is how an action ended.
type Outcome struct {
	Status string `json:"status"`         // ok, failed, killed, refused, unknown
	Exit   *int   `json:"exit,omitempty"` // exit code, if the process ended by itself
	Error  string `json:"error,omitempty"`
}

// Usage is tokens by class.
type Usage struct {
	Input      int64 `json:"input"`
	Output     int64 `json:"output"`
	CacheRead  int64 `json:"cache_read"`
	CacheWrite int64 `json:"cache_write"`
	Reasoning  int64 `json:"reasoning"`
}

// Cost is what a call cost, by a table of prices.
type Cost struct {
	// NanoUSD is in nano-dollars (10⁻⁹ US dollars); null where it is not known,
	// which is not zero.
	NanoUSD *int64 `json:"nano_usd"`
	USD     string `json:"usd,omitempty"`     // the same in dollars, decimal
	Unknown string `json:"unknown,omitempty"` // why it is not known
	Table   string `json:"table"`             // version of the table
	Price   string `json:"price,omitempty"`   // line of the table
	// Estimated says that the provider did not count the tokens, or not all.
	Estimated bool     `json:"estimated,omitempty"`
	Excludes  []string `json:"excludes,omitempty"` // what is billed beside the tokens
}

// Payload refers to an encrypted blob: a prompt, an answer, an output, a diff.
type Payload struct {
	Role   string `json:"role"`
	Media  string `json:"media"`
	Len    int64  `json:"len"`          // plain bytes
	Commit string `json:"commit"`       // "sha256:…" of salt ‖ plain text; the salt is inside the ciphertext
	CT     string `json:"ct"`           // "sha256:…" of the ciphertext, the blob's name
	KEK    string `json:"kek"`          // names the key that wraps the blob's own
	At     string `json:"at,omitempty"` // pack and byte; empty: a file of its own
	// Plain is for Ledger.Append: the payload itself, before it is put. It is in no
	// record.
	Plain []byte `json:"-"`
}

// Coverage says how strong the observation was.
type Coverage struct {
	Tier      string `json:"tier,omitempty"`      // A, A-masked, B, C
	Isolation string `json:"isolation,omitempty"` // same-uid
}

// Receipt is the ledger's word that a record is written, and durable if asked.
type Receipt struct {
	ID  string `json:"id"`
	Seq uint64 `json:"seq"`
}

// JSON returns the record as one line.
func (r Record) JSON() ([]byte, error) { return json.Marshal(r) }
