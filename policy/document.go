package policy

import (
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/strictyaml"
	"github.com/countersign/countersign/policy/hosts"
	"github.com/countersign/countersign/policy/lends"
	"github.com/countersign/countersign/policy/models"
)

// Layer is who wrote a document.
type Layer string

// The layers, strongest first.
const (
	LayerBuiltIn      Layer = "built-in"
	LayerOrganisation Layer = "organisation"
	LayerUser         Layer = "user"
	LayerProject      Layer = "project"
)

func (l Layer) rank() int {
	switch l {
	case LayerBuiltIn:
		return 0
	case LayerOrganisation:
		return 1
	case LayerUser:
		return 2
	}
	return 3 // a project, and whatever is unknown: the weakest
}

// Pos is a place in a document, counted from 1; the zero Pos is nowhere.
type Pos = strictyaml.Pos

// Document is one parsed layer. Documents come from Parse, BuiltIn and Preset;
// their fields are read, not written.
type Document struct {
	Layer  Layer
	Name   string // file name, for messages; empty for built-in rules
	Preset string // name of the preset that it builds on, or empty
	Below  string // where the project lies below the root that the document speaks of; see Around
	Files  Files
	Cmds   []Command
	Net    hosts.Section
	Models models.Section
	Lend   []lends.Rule
	Appr   ApprovalsSection
	Post   Posture

	presetPos Pos
}

// Files is the section "files".
type Files struct {
	Deny     []FileRule
	Except   []Except
	HighRisk []FileRule
	Write    string // review, allow, or empty
	writePos Pos
}

// FileRule denies paths, or in files.high_risk marks them.
type FileRule struct {
	ID       string   `json:"id"`
	Paths    []string `json:"paths"` // gitignore patterns without "!"; "~/…" for the home directory
	Only     string   `json:"only,omitempty"`
	Reason   string   `json:"reason"`
	Match    []string `json:"match,omitempty"`
	NotMatch []string `json:"not_match,omitempty"`
	Layer    Layer    `json:"layer"`
	Pos      string   `json:"pos,omitempty"` // file:line
	at       Pos
}

// Except takes paths out of deny or high-risk rules.
type Except struct {
	ID       string   `json:"id"`
	Rules    []string `json:"rule"` // ids of the rules
	Paths    []string `json:"paths"`
	Reason   string   `json:"reason"`
	Match    []string `json:"match,omitempty"`
	NotMatch []string `json:"not_match,omitempty"`
	Layer    Layer    `json:"layer"`
	Pos      string   `json:"pos,omitempty"`
	at       Pos
}

// Command is a rule on an exec.
type Command struct {
	ID        string              `json:"id"`
	Verdict   countersign.Verdict `json:"verdict"`
	Argv      []string            `json:"argv"`
	At        string              `json:"at,omitempty"`     // any-depth, or empty
	Script    string              `json:"script,omitempty"` // path pattern of a script operand
	SHA256    string              `json:"sha256,omitempty"` // the executable's content, lower-case hex
	Env       []string            `json:"env,omitempty"`    // names that may differ from the session's
	Alone     bool                `json:"alone,omitempty"`  // what it starts is not covered
	Debugs    bool                `json:"debugs,omitempty"` // it may trace what it starts
	Options   []string            `json:"options,omitzero"` // what of the rest may begin with "-"; nil: anything
	Reason    string              `json:"reason"`
	Approvers int                 `json:"approvers,omitempty"` // 0 means 1
	Passkey   bool                `json:"passkey,omitempty"`
	Match     []Example           `json:"match,omitempty"`
	NotMatch  []Example           `json:"not_match,omitempty"`
	Layer     Layer               `json:"layer"`
	Pos       string              `json:"pos,omitempty"`
	at        Pos
	below     string // of its document
}

// Example is a command line that a rule must, or must not, match.
type Example struct {
	Argv []string `json:"argv"`
	Env  []string `json:"env,omitempty"` // NAME=VALUE
	at   Pos
}

// ApprovalsSection is the section "approvals" as written.
type ApprovalsSection struct {
	Timeout           time.Duration // 0: not said
	TypedConfirmation []string      // ids of command rules
	Passkey           []string      // ids of command rules
	timeoutPos        Pos
	typedPos          []Pos
	passkeyPos        []Pos
}

// Posture is the section "posture" as written.
type Posture struct {
	Require []string
	set     bool
	pos     Pos
}

// pos returns "file:line" for rulings, empty for built-in rules.
func (d *Document) pos(p Pos) string {
	if d.Name == "" || p.Line == 0 {
		return ""
	}
	return d.Name + ":" + itoa(p.Line)
}

// fault makes the error of this package: what, where, remedy.
func (d *Document) fault(p Pos, remedy, format string, args ...any) error {
	thing := d.Name
	if thing == "" {
		thing = string(d.Layer)
	}
	if p.Line > 0 {
		thing += ":" + itoa(p.Line) + ":" + itoa(p.Column)
	}
	return invalid(thing, remedy, format, args...)
}
