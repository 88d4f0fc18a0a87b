package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tmux is a terminal of a server of its own, with a plain shell in it.
type tmux struct {
	w      *world
	socket string
}

// newTmux opens a terminal of that size; the shell's prompt is "$ ".
func newTmux(w *world, cols, rows int) *tmux {
	w.t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		w.t.Skip("tmux is not installed (apt-get install tmux)")
	}
	m := &tmux{w: w, socket: filepath.Join(w.root, "tmux.sock")}
	m.do("-f", "/dev/null", "new-session", "-d", "-x", strconv.Itoa(cols), "-y", strconv.Itoa(rows), "env PS1='$ ' sh")
	w.t.Cleanup(func() { m.w.exec("tmux", "-S", m.socket, "kill-server") })
	m.wait("$")
	return m
}

func (m *tmux) do(args ...string) string {
	m.w.t.Helper()
	r := m.w.exec("tmux", append([]string{"-S", m.socket}, args...)...)
	if r.code != 0 {
		m.w.t.Fatalf("tmux %q: %s%s", args, r.out, r.err)
	}
	return r.out
}

// text types characters, key presses keys by tmux's names.
func (m *tmux) text(s string) { m.w.t.Helper(); m.do("send-keys", "-l", "--", s) }

func (m *tmux) key(keys ...string) { m.w.t.Helper(); m.do(append([]string{"send-keys"}, keys...)...) }

// screen is what stands on the terminal; ansi is the same with its attributes.
func (m *tmux) screen() string { m.w.t.Helper(); return m.do("capture-pane", "-p") }
func (m *tmux) ansi() string   { m.w.t.Helper(); return m.do("capture-pane", "-e", "-p") }

// wait polls until the screen holds text.
func (m *tmux) wait(text string) string {
	m.w.t.Helper()
	last := ""
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(30 * time.Millisecond) {
		if last = m.screen(); strings.Contains(last, text) {
			return last
		}
	}
	m.w.t.Fatalf("%q never stood on the terminal:\n%s", text, last)
	return ""
}

// keep stores a capture where a person can look at it, if a directory for them
// is named.
func (m *tmux) keep(name string) {
	m.w.t.Helper()
	dir := os.Getenv("COUNTERSIGN_CAPTURES")
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		m.w.t.Fatal(err)
	}
	for suffix, content := range map[string]string{".txt": m.screen(), ".ansi": m.ansi()} {
		if err := os.WriteFile(filepath.Join(dir, name+suffix), []byte(content), 0o644); err != nil {
			m.w.t.Fatal(err)
		}
	}
}

// A card in a real terminal shows every byte, to the last column, and gives
// the agent's screen back.
func TestCardInTmux(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {40, 24}} {
		t.Run(strconv.Itoa(size[0]), func(t *testing.T) {
			w := newWorld(t, users()[0])
			m := newTmux(w, size[0], size[1])
			arg := strings.Repeat("0123456789", 10)
			w.write("agent.sh", "printf '\\033[?1049h\\033[2J\\033[3;3Hthe agent is here'\n/bin/echo "+arg+" >out.txt\nread x\nprintf '\\033[?1049l'\n")
			m.text(binary + " run -- bash agent.sh")
			m.key("Enter")
			m.wait("Run command?")
			eventually(t, "the card to take keys", func() bool { return strings.Contains(m.screen(), "n deny") })
			m.keep("card-" + strconv.Itoa(size[0]))
			shown := ""
			for _, line := range strings.Split(m.screen(), "\n") {
				shown += strings.TrimLeft(line, " >")
			}
			if !strings.Contains(shown, arg) {
				t.Errorf("the card does not show %s:\n%s", arg, m.screen())
			}
			m.key("y")
			m.wait("the agent is here")
			m.key("Enter")
			m.wait("to review")
		})
	}
}
