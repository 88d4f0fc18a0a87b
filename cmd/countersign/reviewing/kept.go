package reviewing

import (
	"context"
	"fmt"

	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/internal/count"
	"github.com/countersign/countersign/workspace/commits"
)

// staying says, in a line each, which commits stay in the session whatever is
// accepted, of what denied path, and what to do.
func (r *Reviewing) staying(ctx context.Context) []string {
	list, err := r.staging.Kept(ctx)
	if err != nil {
		return []string{fmt.Sprintf("which commits stay in the session could not be found: %v", err)}
	}
	var out []string
	for _, k := range list {
		out = append(out, r.keptLine(k))
	}
	return out
}

func (r *Reviewing) keptLine(k commits.Kept) string {
	s := fmt.Sprintf("commit %.12s (%s)", k.ID, base.Plain(k.Subject))
	if k.Branch != "" {
		s += " on " + base.Plain(k.Branch)
	}
	s += " stays in the session"
	if k.Above > 0 {
		s += ", and " + count.Of(k.Above, "commit") + " on top of it"
	}
	s += ": " + k.Why
	if path := string(k.Denied); path != "" {
		s += ", of the denied path " + base.Plain(path)
		if rule, denied := r.policy.Path(path); denied {
			s += " (" + rule.ID + ")"
		}
	}
	if k.Branch != "" {
		shell := base.Words([]string{"countersign", "shell", r.kept.ID, "--", "git", "switch", k.Branch})
		return s + "; nothing of it is listed: merge it in your own terminal, or list its changes with `" + shell + "`"
	}
	return s + "; what it did is listed, or in your tree, uncommitted: accept and apply that, and commit it in your own terminal"
}

func (r *Reviewing) sayKept(ctx context.Context) {
	for _, line := range r.staying(ctx) {
		r.Say("%s", line)
	}
}
