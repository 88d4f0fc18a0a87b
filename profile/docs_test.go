package profile

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/countersign/countersign"
)

// page is docs/agents.md: what the profiles say, for people.
func page(all []*Profile) string {
	var b strings.Builder
	b.WriteString(`# Agents

` + "`countersign run NAME`" + ` starts an agent that is known by name, wherever npm, pipx, uv or its installer has put it, with its
*profile*: one file below ` + "`profile/agents/`" + `, part of the program, whose name and digest stand in the session's first record.
` + "`countersign agents`" + ` says what is on this machine and runs nothing for it. Whatever has no profile runs with the strict
default: the same sandbox, every command asked, and the variables of the vendors' SDKs set to the session's gateway.

A profile says where the agent's models are (the gateway, with a token that ends with the session), and switches off what
would be in the way of one question for one thing: its own updates, telemetry, sandbox and questions. It loosens nothing
that is enforced.

- **Its home** is private, one for each agent and project, and holds its state from run to run. It begins with the files
  named below out of yours (instructions, never a login), and ` + "`countersign agents reset NAME`" + ` throws it away.
- **Its housekeeping** is what it runs by itself: it looks where the repository is, on which commit, what is changed. Those
  commands, word by word, are let go without a card, each on the record with its rule. They cover nothing: whatever one of
  them would start, a pager, a monitor of files, a filter, is asked like any command. A deny or an ask of your organisation,
  of yours or of the project's stands before such a rule. A few are refused in its place, because what they do could not be
  seen through; the agent does without.
- **Its wrapper** is what it puts around a command of its model's. Where it is, byte for byte, what the profile says, the
  card shows the command, and the wrapper at ` + "`d`" + `; everything else is shown whole. That is for the eye: what is
  approved, compared and recorded are all the words.

| agent | name | tried with | let go / refused | begins with, of your home | its own sandbox and questions | how long it waits for a command |
|---|---|---|---|---|---|---|
`)
	for _, p := range all {
		if p.Ungoverned != "" {
			continue
		}
		tried, seed := p.Tried, "–"
		if tried == "" {
			tried = "could not be had: untried"
		}
		if len(p.Seed) > 0 {
			seed = "`~/" + strings.Join(p.Seed, "` `~/") + "`"
		}
		refused := len(p.Rules) - p.Housekeeping()
		fmt.Fprintf(&b, "| %s | `%s` | %s | %d / %d | %s | %s | %s |\n", p.Title, strings.Join(p.Found.Names, "` `"), tried, p.Housekeeping(), refused, seed, p.Sandbox, p.Patience)
	}
	b.WriteString("\nWhat is no agent for a company that must know what leaves:\n\n")
	for _, p := range all {
		if p.Ungoverned != "" {
			fmt.Fprintf(&b, "- **%s** cannot be governed: %s.\n", p.Title, p.Ungoverned)
		}
	}
	b.WriteString("\n## What each does by itself\n\n| rule | | because it |\n|---|---|---|\n")
	for _, p := range all {
		for _, r := range p.Rules {
			verdict := "let go"
			if r.Verdict == countersign.Deny {
				verdict = "refused"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.ID, verdict, r.Reason)
		}
	}
	return b.String()
}

// The page follows the profiles: COUNTERSIGN_WRITE_DOCS=1 writes it.
func TestThePageFollowsTheProfiles(t *testing.T) {
	want := page(load(t))
	if os.Getenv("COUNTERSIGN_WRITE_DOCS") == "1" {
		if err := os.WriteFile("../docs/agents.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile("../docs/agents.md"); err != nil || string(got) != want {
		t.Errorf("docs/agents.md is not what the profiles say (%v): COUNTERSIGN_WRITE_DOCS=1 go test ./profile", err)
	}
}
