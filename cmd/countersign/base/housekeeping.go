package base

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/profile"
)

// Housekeeping makes a document of what an agent is known to start by itself. What
// is let go covers nothing, and a deny or an ask of anybody's stands before it.
func Housekeeping(p *profile.Profile, project string) (*policy.Document, error) {
	project = strings.NewReplacer(`\`, `\\`, "*", `\*`).Replace(project)
	rules := []map[string]any{}
	for _, r := range p.Rules {
		argv := slices.Clone(r.Argv)
		for i, word := range argv {
			if word == "<<project>>" {
				argv[i] = project
			}
		}
		rule := map[string]any{"id": r.ID, "verdict": r.Verdict, "argv": argv, "reason": p.Title + ": " + r.Reason}
		if r.Verdict == countersign.Allow {
			rule["alone"] = true
			if len(r.Env) > 0 {
				rule["env"] = r.Env
			}
		}
		rules = append(rules, rule)
	}
	src, err := json.Marshal(map[string]any{"version": 1, "commands": rules})
	if err != nil {
		return nil, err
	}
	return policy.Parse(policy.LayerBuiltIn, "", src) // JSON is YAML
}
