package e2e

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// interactive is a real agent in its own screen, in a real terminal, and a
// person before it.
type interactive struct {
	*tmux
	model   *model
	name    string
	replies []reply
	shown   map[string]bool // captures that were kept
}

// reply is what the person presses when the screen says all of the texts.
type reply struct {
	when []string
	keys []string
}

// carded reports whether a card has the screen.
func carded(screen string) bool { return strings.HasPrefix(screen, " Run command?") }

// press presses keys and waits until something has come of it, two seconds at
// the most: then it was too early for the agent, and they are pressed again.
func (a *interactive) press(before string, keys ...string) {
	a.w.t.Helper()
	a.pressFor(2*time.Second, before, keys...)
}

// pressFor is press with more patience, for keys that would do something else if
// they were pressed again while the agent has them already.
func (a *interactive) pressFor(patience time.Duration, before string, keys ...string) {
	a.w.t.Helper()
	a.key(keys...)
	for deadline := time.Now().Add(patience); a.screen() == before && time.Now().Before(deadline); {
		time.Sleep(30 * time.Millisecond)
	}
}

// answer does what a person does with a card: reads to its end, says yes.
func (a *interactive) answer(screen string) {
	a.w.t.Helper()
	switch {
	case strings.Contains(screen, "scroll to the end"), strings.Contains(screen, "End, then y"):
		a.press(screen, "End")
	case strings.Contains(screen, "y approve once"), strings.Contains(screen, "y once"):
		a.press(screen, "y")
	default:
		time.Sleep(30 * time.Millisecond) // it takes no keys yet
	}
}

// attend answers every card and everything that the agent itself asks until the
// screen is what is waited for; a card that stop knows is left standing.
func (a *interactive) attend(what string, done func(screen string) bool) string {
	a.w.t.Helper()
	last := ""
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); {
		last = a.screen()
		if done(last) {
			return last
		}
		if carded(last) {
			a.capture("card", last)
			a.answer(last)
			continue
		}
		pressed := false
		for _, r := range a.replies {
			if !slices.ContainsFunc(r.when, func(text string) bool { return !strings.Contains(last, text) }) {
				a.capture("asks", last)
				a.pressFor(20*time.Second, last, r.keys...)
				pressed = true
				break
			}
		}
		if !pressed {
			time.Sleep(30 * time.Millisecond)
		}
	}
	a.w.t.Fatalf("%s: never came to %s:\n%s\n%+v", a.name, what, last, a.w.cs("requests").out)
	return ""
}

// until polls until the screen is what is waited for.
func (a *interactive) until(what string, done func(screen string) bool) {
	a.w.t.Helper()
	s := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(30 * time.Millisecond) {
		if s = a.screen(); done(s) {
			return
		}
	}
	a.w.t.Fatalf("%s: never came to %s:\n%s", a.name, what, s)
}

// capture keeps the first screen of a kind.
func (a *interactive) capture(kind, _ string) {
	if !a.shown[kind] {
		a.shown[kind] = true
		a.keep(a.name + "-" + kind)
	}
}

// ask types a task at the agent's prompt and sends it. A card that comes up
// meanwhile swallows keys: then the line is typed again.
func (a *interactive) ask(task string) {
	a.w.t.Helper()
	for typed := false; !typed; {
		a.attend("its prompt", a.prompt)
		a.press(a.screen(), "C-u")
		a.text(task)
		a.until("the task at the prompt", func(s string) bool {
			typed = strings.Contains(s, task)
			return typed || carded(s)
		})
	}
	for !strings.Contains(a.model.seen(), task) {
		s := a.attend("its prompt", func(s string) bool { return !carded(s) || strings.Contains(a.model.seen(), task) })
		if !carded(s) {
			a.press(s, "Enter")
		}
	}
}

// prompt reports whether the agent takes a task.
func (a *interactive) prompt(s string) bool {
	if a.name == "claude" {
		return !carded(s) && strings.Contains(s, "❯") && (strings.Contains(s, "shift+tab to cycle") || strings.Contains(s, "? for shortcuts"))
	}
	return !carded(s) && strings.Contains(s, "Ask Codex to do anything") && strings.Contains(s, " · ~/project") // the same box stands there before the folder is trusted
}

// sane says whether the shell has its terminal back as it was.
func (a *interactive) sane() {
	a.w.t.Helper()
	a.text("stty -a | tr -s '; ' '\\n\\n' | grep -xE -- '-?(icanon|echo|isig|icrnl|opost)' | tr '\\n' ' '; echo is-$((40+2))")
	a.key("Enter")
	s := a.wait("is-42")
	for _, mode := range []string{"icanon", "echo", "isig", "icrnl", "opost"} {
		if !slices.Contains(strings.Fields(s), mode) {
			a.w.t.Errorf("%s left the terminal without %s:\n%s", a.name, mode, s)
		}
	}
	const flags = "alt=#{alternate_on} mouse=#{mouse_any_flag} keypad=#{keypad_flag} cursorkeys=#{keypad_cursor_flag} origin=#{origin_flag} insert=#{insert_flag} cursor=#{cursor_flag} wrap=#{wrap_flag}"
	if got, want := strings.TrimSpace(a.do("display-message", "-p", flags)), "alt=0 mouse=0 keypad=0 cursorkeys=0 origin=0 insert=0 cursor=1 wrap=1"; got != want {
		a.w.t.Errorf("%s left the terminal with %s, want %s", a.name, got, want)
	}
}

// cards is how many commands the person was asked about, and how many of them
// were different ones.
func (a *interactive) cards() (all, different int) {
	seen := map[string]bool{}
	for _, r := range a.w.log("--type", "exec.decided") {
		if r.Decision.Basis == "person" {
			all++
			seen[strings.Join(r.Action.Argv, " ")] = true
		}
	}
	return all, len(seen)
}

// A real agent, started as a person starts it, does a two-step task; every card
// is answered by keys.
func TestAgentsInTheirOwnScreens(t *testing.T) {
	const task = "write hello.txt and run the tests"
	agents := []struct {
		name, pkg, version, wire, path, quit string
		replies                              []reply
	}{
		{"claude", "@anthropic-ai/claude-code", "2.1.331", "anthropic", "", "/exit", []reply{
			{[]string{"Yes, I trust this folder", "❯ No, exit"}, []string{"Down"}},
			{[]string{"❯ Yes, I trust this folder"}, []string{"Enter"}},
			{[]string{"auto mode on (shift+tab to cycle)"}, []string{"BTab"}}, // its check runs at the provider
			{[]string{"Do you want to", "❯ 1. Yes"}, []string{"Enter"}},
			{[]string{"Do you want to", "❯ Yes"}, []string{"Enter"}},
			{[]string{"Do you want to", "❯ No"}, []string{"Down"}},
		}},
		{"codex", "@openai/codex", "0.169.0", "openai", "/v1", "/quit", []reply{
			{[]string{"Trust this folder?", "› 1. Trust"}, []string{"Enter"}},
		}},
	}
	sizes := [][2]int{{100, 30}, {80, 24}}
	for _, ag := range agents {
		t.Run(ag.name, func(t *testing.T) {
			t.Parallel() // most of it is waiting for cards to take keys
			bin := npmAgent(t, ag.pkg, ag.version)
			for i, size := range sizes {
				uid := users()[i%len(users())]
				w, m := realAgent(t, ag.wire, ag.path, uid, twoSteps...)
				w.withPath(bin)
				if ag.name == "claude" {
					m.steps[0].write = w.project + "/hello.txt"
				}
				a := &interactive{tmux: newTmux(w, size[0], size[1]), model: m, name: ag.name, replies: ag.replies, shown: map[string]bool{}}
				a.text(binary + " run -- " + ag.name)
				a.key("Enter")
				a.ask(task)
				a.attend("the card of the tests", func(s string) bool { return carded(s) && strings.Contains(w.cs("requests").out, "node --test") })
				a.keep(ag.name + "-tests")
				a.attend("its answer", func(s string) bool { return a.prompt(s) && strings.Contains(s, "all done") })
				a.keep(ag.name + "-done")
				all, different := a.cards()
				t.Logf("%s, %dx%d, uid %d: %d cards for %d different commands", ag.name, size[0], size[1], uid, all, different)
				if all > 3 {
					t.Errorf("%d cards for a task of two steps", all)
					for _, r := range w.log("--type", "exec.decided") {
						if r.Decision.Basis == "person" {
							t.Logf("%.200q … %q env %q", r.Action.Argv, r.Action.Argv[max(0, len(r.Action.Argv)-16):], r.Action.Env)
						}
					}
				}
				a.suspend()
				m.then(step{run: "sleep 2; echo more-$((1+2))"})
				a.ask("wait a little")
				a.disturb("more-$((1+2))", sizes[1-i])
				a.attend("the end of that", func(s string) bool { return strings.Contains(m.seen(), "more-3") })
				a.drawn(size)
				a.keep(ag.name + "-resized")
				a.leave(ag.quit)
				checkAgent(t, w, m, result{})
				if out := w.must("review", "--list").out; !strings.Contains(out, "hello.txt") {
					t.Errorf("review --list says %q", out)
				}
			}
		})
	}
}

// drawn waits for the agent's prompt. Claude Code now and then leaves its footer
// undrawn after two changes of size at once; another change has it drawn.
func (a *interactive) drawn(size [2]int) {
	a.w.t.Helper()
	again := time.Now().Add(10 * time.Second)
	a.attend("its prompt", func(s string) bool {
		if time.Now().After(again) && !carded(s) {
			for _, w := range []int{size[0] - 1, size[0]} {
				a.do("resize-window", "-x", strconv.Itoa(w), "-y", strconv.Itoa(size[1]))
				time.Sleep(300 * time.Millisecond)
			}
			again = time.Now().Add(10 * time.Second)
		}
		return a.prompt(s)
	})
}

// leave ends the agent by its own command and looks at what it left.
func (a *interactive) leave(quit string) {
	a.w.t.Helper()
	ended := func(s string) bool { return strings.Contains(s, "ended:") }
	for !ended(a.screen()) {
		a.attend("its prompt", func(s string) bool { return a.prompt(s) || ended(s) })
		if s := a.screen(); a.prompt(s) {
			a.press(s, "C-u")
			a.text(quit)
			a.until("the command at the prompt", func(s string) bool { return strings.Contains(s, quit) || carded(s) || ended(s) })
			a.press(a.screen(), "Enter")
		}
		a.attend("its end", func(s string) bool { return ended(s) || a.prompt(s) })
	}
	a.keep(a.name + "-left")
	a.sane()
}

// suspend sends the agent away with Ctrl-Z and takes it back.
func (a *interactive) suspend() {
	a.w.t.Helper()
	s := a.attend("its prompt", a.prompt)
	a.press(s, "C-z")
	a.wait("Stopped")
	a.text("echo out-$((1+2))")
	a.key("Enter")
	a.wait("out-3")
	a.text("fg")
	a.key("Enter")
	a.attend("its prompt after fg", a.prompt)
}

// disturb is what goes on around a card: Ctrl-C, Ctrl-Z, a paste and the mouse
// decide nothing, and it fits a window of another size. Then it is approved, and
// the window changes again while the command runs.
func (a *interactive) disturb(command string, size [2]int) {
	t := a.w.t
	t.Helper()
	a.attend("the card", func(s string) bool {
		return carded(s) && strings.Contains(a.w.cs("requests").out, command) && (strings.Contains(s, "y approve once") || strings.Contains(s, "scroll to the end"))
	})
	was := strings.Fields(a.do("display-message", "-p", "#{window_width} #{window_height}"))
	id := strings.Fields(a.w.must("requests").out)[0]
	same := func(what string) {
		t.Helper()
		a.press(a.screen(), "d") // comes behind what went before
		if s := a.screen(); !carded(s) || !strings.Contains(a.w.must("requests").out, id) {
			t.Fatalf("%s answered the card:\n%s", what, s)
		}
		a.until("a card that takes keys", func(s string) bool {
			return strings.Contains(s, "y approve once") || strings.Contains(s, "scroll to the end")
		})
	}
	a.key("C-c")
	same("Ctrl-C")
	a.do("set-buffer", "yyy\n")
	a.do("paste-buffer", "-p")
	same("a paste")
	a.text("\x1b[<0;5;5M\x1b[<0;5;5m")
	same("the mouse")
	a.key("C-z")
	a.wait("Stopped")
	a.text("fg")
	a.key("Enter")
	a.until("the card after fg", carded)
	a.do("resize-window", "-x", strconv.Itoa(size[0]), "-y", strconv.Itoa(size[1]))
	a.until("a card as wide as the window", func(s string) bool {
		first, _, _ := strings.Cut(s, "\n")
		return carded(s) && len(first) > size[0]-3 && len(first) <= size[0]
	})
	a.keep(a.name + "-narrower")
	a.attend("the command to run", func(s string) bool { return !strings.Contains(a.w.must("requests").out, id) })
	a.do("resize-window", "-x", was[0], "-y", was[1])
}
