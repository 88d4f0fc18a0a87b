//go:build unix

package host

import (
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"

	"github.com/countersign/countersign/tui/card"
)

// toAgent is what has reached the agent since the last call, once everything
// typed before has been dealt with.
func (r *rig) toAgent() string {
	r.t.Helper()
	const mark = "\x1b[7n" // reads as an answer of the terminal, which passes at a card too
	r.type_(mark)
	got := ""
	for !strings.HasSuffix(got, mark) {
		select {
		case s := <-r.replies:
			got += s
		case <-time.After(10 * time.Second):
			r.t.Fatal("no answer")
		}
	}
	return strings.TrimSuffix(got, mark)
}

func (r *rig) answers() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

func (r *rig) shows(what string) {
	r.t.Helper()
	r.until(what, func() bool { return strings.Contains(r.text(), what) })
}

func TestKeysGoToTheCardAndNowhereElse(t *testing.T) {
	r := newRig(t, 80, 24)
	r.type_("abc\x1b[A\x03\x1a")
	if got := r.toAgent(); got != "abc\x1b[A\x03\x1a" {
		t.Errorf("bare: the agent got %q", got)
	}
	r.ask(request("1", "first"))
	r.type_("y") // early: the card has not stood
	r.toAgent()
	r.advance(600 * time.Millisecond)
	for _, s := range []string{"\r", " ", "yy", "y\r", "\x1b[200~y\x1b[201~", "\x1b[<0;1;1M", "\x1b[I", "\x1by", "Y", "\x03"} {
		r.type_(s)
		if got := r.toAgent(); got != "" {
			t.Errorf("%q at the card: the agent got %q", s, got)
		}
		if n := r.answers(); n != 0 {
			t.Fatalf("%q answered the card", s)
		}
		r.advance(600 * time.Millisecond)
	}
	r.type_("y")
	r.until("the answer", func() bool { return r.answers() == 1 })
	r.type_("more")
	r.until("the card to go", func() bool { return !strings.Contains(r.text(), "Run command?") })
	if got := r.toAgent(); got != "more" {
		t.Errorf("after: the agent got %q", got)
	}
}

func TestAnEarlyKeyIsLost(t *testing.T) {
	r := newRig(t, 80, 24)
	r.ask(request("1", "first"))
	r.advance(499 * time.Millisecond)
	r.type_("y")
	r.toAgent()
	r.advance(499 * time.Millisecond) // the early key began the wait anew
	r.type_("y")
	r.toAgent()
	if r.answers() != 0 {
		t.Fatal("answered too early")
	}
	r.advance(501 * time.Millisecond)
	r.type_("y")
	r.until("the answer", func() bool { return r.answers() == 1 })
}

func TestTheCardShownIsNotReplaced(t *testing.T) {
	r := newRig(t, 80, 24)
	r.ask(request("1", "first"))
	r.shows("1 of 1")
	r.advance(time.Second)
	r.mu.Lock()
	r.open = append(r.open[:0:0], request("0", "older"), r.open[0]) // even one that sorts before it
	r.mu.Unlock()
	r.changed <- struct{}{}
	r.shows("2 of 2")
	if !strings.Contains(r.text(), "first") {
		t.Fatalf("replaced:\n%s", r.text())
	}
	r.type_("n")
	r.shows("older")
	r.type_("n") // the next card has only just come up
	r.toAgent()
	if n := r.answers(); n != 1 {
		t.Fatalf("%d answers: one key answered two", n)
	}
	r.mu.Lock()
	changed := request("0", "swapped")
	changed.Digest = "sha256:other"
	r.open[0] = changed
	r.mu.Unlock()
	r.advance(time.Second)
	r.changed <- struct{}{}
	r.shows("swapped")
	r.type_("y")
	r.toAgent()
	if n := r.answers(); n != 1 {
		t.Fatal("a key answered a card that had just changed")
	}
	r.mu.Lock()
	r.open = nil // answered elsewhere
	r.mu.Unlock()
	r.changed <- struct{}{}
	r.until("the card to go", func() bool { return !strings.Contains(r.text(), "Run command?") })
}

func TestTheCardCallsThePerson(t *testing.T) {
	r := newRig(t, 80, 24)
	r.ask(request("1", "first"))
	r.until("bell and notification", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return strings.Contains(r.raw.String(), "\a\x1b]9;Countersign: ") && strings.Contains(r.raw.String(), "\x1b]777;notify;Countersign;")
	})
}

func TestQuestionsBehindACardAreAnswered(t *testing.T) {
	r := newRig(t, 80, 24)
	r.agent.WriteString("\x1b[3;7H")
	r.settle()
	r.ask(request("1", "first"))
	for q, want := range map[string]string{"\x1b[6n": "\x1b[3;7R", "\x1b[c": "\x1b[?62;22c", "\x1b[?2004$p": "\x1b[?2004;2$y", "\x1b[18t": "\x1b[8;24;80t", "\x1b]11;?\a": ""} {
		r.agent.WriteString(q + "\x1b[5n")
		got := ""
		for !strings.HasSuffix(got, "\x1b[0n") {
			got += <-r.replies
		}
		if got != want+"\x1b[0n" {
			t.Errorf("%q: got %q, want %q", q, got, want)
		}
	}
	r.type_("\x1b[?1;2c\x1b]11;rgb:ff/ff/ff\a\x1b[5;5R") // answers to what was asked before the card
	if got := r.toAgent(); got != "\x1b[?1;2c\x1b]11;rgb:ff/ff/ff\a\x1b[5;5R" {
		t.Errorf("late answers: %q", got)
	}
}

func TestResizeReachesAgentAndCard(t *testing.T) {
	r := newRig(t, 80, 24)
	r.agent.WriteString("\x1b[?1049h\x1b[Hin the editor")
	r.settle()
	r.ask(request("1", "first"))
	resize := func(w, h int) {
		r.mu.Lock()
		r.outer.resize(w, h)
		r.mu.Unlock()
		pty.Setsize(r.person, &pty.Winsize{Rows: uint16(h), Cols: uint16(w)})
		p, _ := os.FindProcess(os.Getpid())
		p.Signal(syscall.SIGWINCH) // the test does not have the terminal, so the kernel does not send it
		r.until("the agent's new size", func() bool {
			gw, gh, err := term.GetSize(int(r.agent.Fd()))
			return err == nil && gw == w && gh == h
		})
	}
	resize(100, 30)
	r.until("a card of the new size", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return strings.Contains(cells(r.outer.front())[28], "y approve") || strings.Contains(cells(r.outer.front())[28], "keys count")
	})
	resize(60, 20)
	r.advance(time.Second)
	r.type_("n")
	r.until("the editor", func() bool {
		return strings.HasPrefix(r.text(), "in the editor") && !strings.Contains(r.text(), "Run command?")
	})
}

func TestMuchOutputBehindACard(t *testing.T) {
	r := newRig(t, 80, 24)
	r.ask(request("1", "first"))
	line := strings.Repeat("z", 78) + "\r\n"
	var all strings.Builder
	for range 2 * maxHeld / len(line) {
		all.WriteString(line)
	}
	all.WriteString("\x1b[1mthe end")
	r.agent.WriteString(all.String())
	r.settle()
	r.advance(time.Second)
	r.type_("n")
	r.shows("the end")
	r.agent.WriteString("!")
	r.same("\x1b[24;1H" + strings.Repeat(line, 30) + "\x1b[1mthe end!")
}

func TestSay(t *testing.T) {
	var b strings.Builder
	Say(&b, "two\nlines \x1b[2J%s", "\u202e")
	if got := b.String(); got != "countersign: two\ncountersign: lines \\u{1b}[2J\\u{202e}\n" {
		t.Errorf("%q", got)
	}
}

// A busy machine may draw the card before its moment and come back behind it.
func TestCardSaysThatItTakesKeysHoweverLate(t *testing.T) {
	now := time.Unix(1, 0)
	l := &loop{Options: Options{Now: func() time.Time { return now }}, screen: newScreen(80, 24), tty: io.Discard}
	defer l.screen.close()
	l.over = &overlay{state: card.Show(card.Card{Request: request("1", "x")}, now)}
	now = now.Add(card.Arming - time.Millisecond)
	l.draw()
	now = now.Add(2 * time.Millisecond)
	tick := time.NewTimer(time.Hour)
	l.arm(tick)
	select {
	case <-tick.C:
	case <-time.After(10 * time.Second):
		t.Error("nothing draws the card again")
	}
}
