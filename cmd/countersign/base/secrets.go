package base

import (
	"fmt"
	"slices"
	"strings"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/scan"
	"github.com/countersign/countersign/policy"
)

// checkSecrets refuses a policy that names a rule of the scan for secrets which
// there is not: it would protect nothing and look as if it did.
func checkSecrets(p *policy.Policy) error {
	named := p.Models().SecretNames()
	if len(named) == 0 {
		return nil
	}
	rules, err := scan.Load()
	if err != nil {
		return err
	}
	known := rules.Names()
	for name, pos := range named {
		prefix, pattern := strings.CutSuffix(name, "*")
		if slices.Contains(known, name) || pattern && slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(k, prefix) }) {
			continue
		}
		return &countersign.Error{
			Code: countersign.EInvalid, Op: "read policy", Thing: pos, Err: fmt.Errorf("models.secrets: there is no rule %q", name),
			Remedy: "docs/secrets.md lists them",
		}
	}
	return nil
}
