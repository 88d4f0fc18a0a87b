// Package posture holds a session's sandbox against what it must be: what the
// machine says that it enforces against what the policy demands, and, before the
// agent is there, a handful of calls that must be refused and noted against what
// came of them.
//
// It promises that a control which did not answer as it must keeps the agent from
// starting. It may probe the machine; it starts no session, writes no record, and
// decides nothing else.
package posture

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/sandbox"
)

// Probe says what this machine enforces.
func Probe(ctx context.Context) (countersign.Posture, error) {
	self, err := os.Executable()
	if err != nil {
		return countersign.Posture{}, err
	}
	return sandbox.Probe(ctx, self), nil
}

// Confined is what a policy adds to the posture of its sessions.
func Confined(p *policy.Policy) []countersign.Mechanism {
	if p.Models().LocalOnly() == nil {
		return nil
	}
	return []countersign.Mechanism{{Name: "local-only", State: "ok", Detail: "models of this machine only; no host is reached (models.local_only)"}}
}

// Check refuses to start when the machine gives less than policy asks.
func Check(have countersign.Posture, p *policy.Policy) error {
	var missing, remedies []string
	known := map[string]countersign.Mechanism{}
	for _, m := range have.Mechanisms {
		known[m.Name] = m
	}
	for _, want := range p.Posture() {
		m, reported := known[want]
		switch {
		case !reported:
			missing = append(missing, want+" (this version does not know it)")
		case m.State == "missing":
			missing = append(missing, want+" ("+m.Detail+")")
			remedies = append(remedies, m.Remedy)
		}
	}
	if len(missing) == 0 && have.Tier != "C" && have.Tier != "B" {
		return nil
	}
	if len(missing) == 0 {
		missing = append(missing, "this machine reaches tier "+have.Tier+" only")
		for _, m := range have.Mechanisms {
			if m.State != "ok" && m.Remedy != "" {
				remedies = append(remedies, m.Remedy)
			}
		}
	}
	return &countersign.Error{
		Code: countersign.EPosture, Op: "start the agent",
		Err:    errors.New("the policy requires what this machine does not enforce: " + strings.Join(missing, "; ")),
		Remedy: strings.Join(append(once(remedies), "`countersign doctor` shows the whole posture"), "\n"),
	}
}

// once leaves out what was said before.
func once(list []string) []string {
	var out []string
	for _, s := range list {
		if s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
