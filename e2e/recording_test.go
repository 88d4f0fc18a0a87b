package e2e

import (
	"encoding/json"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// A real session on a terminal: what it showed is on record without its secret, and
// plays again with the card and its answer on the same timeline.
func TestRecordingAndReplay(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		head, tail := "gh"+"p_"+strings.Repeat("aB", 9), strings.Repeat("cD", 9)
		wait := w.asking(allowBash+"  - {id: t-sleep, verdict: allow, argv: [sleep, \"*\"], reason: a test}\n", `
printf 'token %s' '`+head+`'; sleep 0.3; printf '%s is it\n' '`+tail+`'
printf '\033]52;c;Y2FsYw==\007\033[31mred\033[m\n'
ls hello.txt
echo at the end
`)
		w.must("approve", w.asked().ID)
		live := wait()
		if !strings.Contains(live, "at the end") {
			t.Fatalf("the session showed:\n%s", live)
		}
		parts := w.log("--type", "terminal.recorded")
		if len(parts) == 0 {
			t.Fatal("nothing was recorded")
		}
		id := parts[0].Session
		dump := w.must("replay", id, "--dump").out
		shown := outputOf(t, dump)
		for _, want := range []string{"token " + strings.Repeat("*", 40) + " is it\r\n", "\x1b[31mred\x1b[m", "hello.txt", "at the end"} {
			if !strings.Contains(shown, want) {
				t.Errorf("%q is not in the recording: %q", want, shown)
			}
		}
		for _, no := range []string{"]52", tail, head, "Run command?"} {
			if strings.Contains(dump, no) {
				t.Errorf("%q is in the recording", no)
			}
		}
		list := w.must("replay", id).out
		if !regexp.MustCompile(`(?s)\d  allow: ls hello.txt \(person .*at the end`).MatchString(list) {
			t.Errorf("the timeline is\n%s", list)
		}
		typed, played := w.backgroundTTY("replay", id, "--speed", "50")
		typed("Gq")
		again := played()
		if !strings.Contains(again, "allow: ls hello.txt") || !strings.Contains(again, "at the end") || strings.Contains(again, "]52") {
			t.Errorf("played: %q", again)
		}
		w.must("verify")
	})
}

// outputOf is what an asciicast shows, after a look at its form.
func outputOf(t *testing.T, dump string) string {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(dump, "\n"), "\n")
	var head struct{ Version, Width, Height int }
	if err := json.Unmarshal([]byte(lines[0]), &head); err != nil || head.Version != 2 || head.Width != 80 || head.Height != 24 {
		t.Fatalf("header %q: %v", lines[0], err)
	}
	out := ""
	for _, l := range lines[1:] {
		var at float64
		var code, data string
		if err := json.Unmarshal([]byte(l), &[]any{&at, &code, &data}); err != nil || !strings.Contains("orm", code) {
			t.Fatalf("line %q: %v", l, err)
		}
		if code == "o" {
			out += data
		}
	}
	return out
}

// A session that is killed has on record what its terminal showed some seconds
// before, and without a terminal there is no recording.
func TestRecordingSurvivesAKill(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.write("agent.sh", "echo it was here\nread -r x\n")
		w.repoWith("hello.txt", "hello\n")
		policy := w.policy(allowBash)
		_, wait := w.backgroundTTY("run", "--policy", policy, "--", "bash", "agent.sh")
		eventually(t, "a part is on record", func() bool {
			return len(w.ledgers()) == 1 && len(w.log("--type", "terminal.recorded")) > 0
		})
		syscall.Kill(w.runPID(), syscall.SIGKILL)
		wait()
		id := w.log("--type", "terminal.recorded")[0].Session
		if out := outputOf(t, w.must("replay", id, "--dump").out); !strings.Contains(out, "it was here") {
			t.Errorf("recorded: %q", out)
		}
		w.must("run", "--policy", policy, "--approver", "none", "--fresh", "--", "bash", "-c", "echo unseen")
		for _, r := range w.log("--type", "terminal.recorded") {
			if r.Session != id {
				t.Errorf("a session without a terminal was recorded: %+v", r)
			}
		}
	})
}
