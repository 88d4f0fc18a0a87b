package countersign

import (
	"strings"
	"time"
)

// Session is one agent, one project, one sandbox, from start to end.
type Session struct {
	ID      string    `json:"id"`
	Agent   string    `json:"agent"`
	Project string    `json:"project"` // real path of the project's root
	Argv    []string  `json:"argv"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	PID     int       `json:"pid"` // of the process that holds the session
	Policy  string    `json:"policy"`
	Preset  string    `json:"preset,omitempty"` // the loosest that the policy builds on
	Posture Posture   `json:"posture"`
	Backend string    `json:"backend"` // snapshot, overlay
}

// Posture is what is really enforced on this machine.
type Posture struct {
	Tier       string      `json:"tier"` // A, A-masked, B, C
	Mechanisms []Mechanism `json:"mechanisms"`
}

// Weak says what is less than whole, by the names of the mechanisms; empty for tier A.
func (p Posture) Weak() string {
	if p.Tier == "A" {
		return ""
	}
	var out []string
	for _, m := range p.Mechanisms {
		if m.State != "ok" {
			out = append(out, m.Name+" "+m.State)
		}
	}
	return "tier " + p.Tier + ": " + strings.Join(out, ", ")
}

// Mechanism is one thing the posture rests on.
type Mechanism struct {
	Name   string `json:"name"`
	State  string `json:"state"` // ok, missing, partial
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}
