package suggest

import (
	"encoding/json"
	"fmt"
	"strings"
)

// mostShown bounds how many commands of each kind stand under a proposal.
const mostShown = 12

// YAML writes proposals as a policy, with what each would have covered, and would
// not, as its examples and in comments. With no proposal it is a policy without
// rules.
func YAML(ps []Proposal, left []Left) string {
	var b strings.Builder
	b.WriteString("# Proposed from the record. Read each rule, keep what you mean, and put it into\n# your policy: nothing of this is in force.\nversion: 1\n")
	if len(ps) > 0 {
		b.WriteString("commands:\n")
	}
	for _, p := range ps {
		told(&b, "would have covered", p.Covered)
		told(&b, "would not", p.Not)
		fmt.Fprintf(&b, "  - id: %s\n    verdict: allow\n    argv: %s\n    reason: %s\n    match: %s\n", p.ID, quoted(p.Argv), quoted(p.Reason), examples(p.Covered))
		if len(p.Not) > 0 {
			fmt.Fprintf(&b, "    not_match: %s\n", examples(p.Not))
		}
	}
	for i, l := range left {
		if i == 0 {
			b.WriteString("\n# Approved as often, and not proposed:\n")
		}
		fmt.Fprintf(&b, "#   %d × %s: %s\n", l.Approved, quoted(l.Argv), l.Why)
	}
	return b.String()
}

func told(b *strings.Builder, what string, list []Seen) {
	for i, s := range list {
		if i == mostShown {
			fmt.Fprintf(b, "  #   and %d more\n", len(list)-i)
			return
		}
		if i == 0 {
			fmt.Fprintf(b, "  # %s:\n", what)
		}
		fmt.Fprintf(b, "  #   %s: approved %d, denied %d, unanswered %d\n", quoted(s.Argv), s.Approved, s.Denied, s.Unasked)
	}
}

func examples(list []Seen) string {
	out := make([][]string, 0, len(list))
	for _, s := range list[:min(len(list), mostShown)] {
		out = append(out, s.Argv)
	}
	return quoted(out)
}

// quoted is JSON, which is YAML too; what would hide stays escaped.
func quoted(v any) string {
	b, _ := json.Marshal(v) // strings only
	var out strings.Builder
	for _, r := range string(b) {
		if r > 0x7e {
			fmt.Fprintf(&out, `%s`, escape(r))
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}

func escape(r rune) string {
	if r > 0xffff {
		return fmt.Sprintf(`\U%08x`, r)
	}
	return fmt.Sprintf(`\u%04x`, r)
}
