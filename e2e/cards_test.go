package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// approveAll answers every card with yes until the channel closes.
func (w *world) approveAll(done chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(20 * time.Millisecond):
		}
		var open []request
		_ = json.Unmarshal([]byte(w.cs("requests", "--json").out), &open)
		for _, q := range open {
			w.cs("approve", q.ID)
		}
	}
}

// An honest task of two steps, each card answered: it shows three at most with the
// standard preset, and what the agent did by itself is on record with its rule.
func TestCardsOfAnHonestTask(t *testing.T) {
	agents := slices.DeleteFunc(slices.Clone(vendors), func(v vendor) bool { return v.name == "opencode" })
	agents = append(agents,
		vendor{"claude", "@anthropic-ai/claude-code", "2.1.331", "anthropic", "", []string{"claude", "-p"}, nil, nil},
		vendor{"codex", "@openai/codex", "0.169.0", "openai", "/v1", []string{"codex", "exec", "-m", "gpt-5.5", "--skip-git-repo-check"}, nil, nil},
		vendor{"aider", "", "0.86.2", "openai", "/v1", []string{"aider", "--model", "openai/gpt-4o", "--yes-always", "--test-cmd", "node --test", "--auto-test", "hello.txt", "--message"}, nil, nil},
	)
	for _, v := range agents {
		t.Run(v.name, func(t *testing.T) {
			bin := ""
			if v.pkg == "" {
				bin = aider(t)
			} else {
				bin = npmAgent(t, v.pkg, v.version)
			}
			w, m := realAgent(t, v.wire, v.path, users()[len(users())-1], step{write: "hello.txt", content: "hi\n"}, step{run: "node --test"})
			if v.name != "codex" {
				m.steps[0].write = filepath.Join(w.project, "hello.txt")
			}
			if v.writes != nil {
				m.say = v.says
			}
			if v.name == "aider" {
				m.says = []string{"hello.txt\n```\n<<<<<<< SEARCH\n=======\nhi\n>>>>>>> REPLACE\n```\n"}
			}
			w.withPath(bin)
			_, wait := w.backgroundTTY(slices.Concat([]string{"run", "--preset", "standard"}, v.argv, []string{vendorTask})...)
			done, out := make(chan struct{}), ""
			go func() { out = wait(); close(done) }()
			w.approveAll(done)
			before, after := 1, 1 // the card of the tests
			tests := false
			for _, r := range w.log("--type", "exec.decided") {
				line := strings.Join(r.Action.Argv, " ")
				switch {
				case strings.Contains(line, "node --test") && (r.Decision.Basis == "person" || r.Decision.Basis == "covered"):
					if r.Decision.Basis == "person" && tests {
						before, after = before+1, after+1
					}
					tests = true
				case r.Decision.Basis == "person":
					t.Logf("card: %.300s env %q", line, r.Action.Env)
					before, after = before+1, after+1
				case r.Decision.Basis == "policy":
					before++
				}
				if strings.HasPrefix(r.Policy.Rule, "agent-") && os.Getenv("COUNTERSIGN_VERBOSE") != "" {
					t.Logf("%s by %s: %.100s", r.Decision.Verdict, r.Policy.Rule, line)
				}
			}
			t.Logf("%s: %d cards, %d without its profile and the preset", v.name, after, before)
			if !tests || after > 3 {
				t.Errorf("tests run %v, %d cards\n%s", tests, after, out)
			}
			if hs := w.hunks(); len(hs) != 1 || hs[0].Path != "hello.txt" {
				t.Errorf("%+v", hs)
			}
			w.must("verify")
		})
	}
}
