//go:build unix

package host

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/term"

	"github.com/countersign/countersign"
)

// rig is a host between a person's terminal and an agent's, both real ptys.
type rig struct {
	t      testing.TB
	agent  *os.File // the agent's end
	person *os.File // the terminal emulator's end
	tty    *os.File
	end    func() error

	mu    sync.Mutex
	outer *screen // what the person sees
	raw   strings.Builder
	open  []countersign.Request
	got   []countersign.Approval

	changed chan struct{}
	replies chan string // to the agent
	now     time.Time
	skew    time.Duration
}

func newRig(t testing.TB, w, h int) *rig {
	t.Helper()
	r := &rig{t: t, outer: newScreen(w, h), changed: make(chan struct{}, 1), replies: make(chan string, 1000), now: time.Unix(1, 0)}
	master, agent, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	person, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	r.agent, r.person, r.tty = agent, person, tty
	if err := pty.Setsize(person, &pty.Winsize{Rows: uint16(h), Cols: uint16(w)}); err != nil {
		t.Fatal(err)
	}
	if _, err := term.MakeRaw(int(agent.Fd())); err != nil {
		t.Fatal(err)
	}
	go r.watch()
	go r.read()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{
			Master: master, In: tty, Out: tty, User: "ada", Agent: "test", Changed: r.changed,
			Requests: r.requests, Answer: r.answer, Now: r.clock,
		})
	}()
	var once sync.Once
	r.end = func() (err error) {
		once.Do(func() {
			cancel()
			select {
			case err = <-ended:
			case <-time.After(5 * time.Second):
				t.Error("the host does not end")
			}
			for _, f := range []*os.File{agent, master, tty} {
				f.Close()
			}
		})
		return err
	}
	t.Cleanup(func() { r.end(); person.Close() })
	r.settle() // the host has the terminal
	return r
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) advance(d time.Duration) {
	r.mu.Lock()
	r.now = r.now.Add(d)
	r.mu.Unlock()
}

func (r *rig) requests() []countersign.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]countersign.Request(nil), r.open...)
}

func (r *rig) answer(id, digest string, a countersign.Approval) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, q := range r.open {
		if q.ID == id && q.Digest == digest {
			r.open = append(r.open[:i:i], r.open[i+1:]...)
			r.got = append(r.got, a)
			return nil
		}
	}
	return fmt.Errorf("no request %s", id)
}

// ask puts requests on the desk and waits until a card stands.
func (r *rig) ask(qs ...countersign.Request) {
	r.mu.Lock()
	r.open = append(r.open, qs...)
	r.mu.Unlock()
	r.changed <- struct{}{}
	r.until("a card", func() bool { return strings.Contains(r.text(), "Run command?") })
}

func request(id string, argv ...string) countersign.Request {
	return countersign.Request{ID: id, Session: "s1", Digest: "sha256:" + id, Reuse: "reuse:" + id, Pending: true, Action: countersign.Action{
		Kind: countersign.KindExec, Session: "s1", Exec: &countersign.Exec{Argv: argv, Cwd: "/p", Stdin: countersign.StdinNull},
	}}
}

// watch is the person's terminal: it draws, and answers what it is asked.
func (r *rig) watch() {
	var s scanner
	buf := make([]byte, 64<<10)
	for {
		n, err := r.person.Read(buf)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.raw.Write(buf[:n])
		s.scan(buf[:n], func(t token) {
			if judge(&t) == query && t.final == 'n' {
				r.person.WriteString("\x1b[0n")
			} else {
				r.outer.feed(t)
			}
		})
		r.mu.Unlock()
	}
}

func (r *rig) read() {
	buf := make([]byte, 4096)
	for {
		n, err := r.agent.Read(buf)
		if err != nil {
			close(r.replies)
			return
		}
		r.replies <- string(buf[:n])
	}
}

// until polls with a deadline.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("waited in vain for %s; the terminal shows:\n%s", what, r.text())
		}
	}
}

// text is what the person's terminal shows.
func (r *rig) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outer.front().String()
}

// settle waits until everything the agent wrote has gone through.
func (r *rig) settle() {
	r.t.Helper()
	r.agent.WriteString("\x1b[5n")
	got := ""
	for !strings.HasSuffix(got, "\x1b[0n") {
		select {
		case s := <-r.replies:
			got += s
		case <-time.After(10 * time.Second):
			r.t.Fatalf("the terminal does not answer; it shows:\n%s", r.text())
		}
	}
}

func (r *rig) type_(s string) { r.person.WriteString(s) }

// cells reads a screen as a person does: half of a wide character is a blank.
func cells(e *vt.Emulator) []string {
	var rows []string
	for y := range e.Height() {
		row, wide := "", false
		for x := range e.Width() {
			c := e.CellAt(x, y)
			content := " "
			switch {
			case c == nil || c.Width == 0 && !wide:
				wide = false
			case c.Width == 0:
				content, wide = "", false
			case !split(e, x, y):
				content, wide = c.Content, c.Width > 1
			}
			if c != nil && content != "" && (!c.Style.IsZero() || c.Link.URL != "") {
				content = "<" + strings.TrimPrefix(c.Style.String(), "\x1b") + c.Link.URL + ">" + content
			}
			row += content
		}
		rows = append(rows, strings.TrimRight(row, " "))
	}
	return rows
}

// state is everything that must be as it was.
func state(s *screen) map[string]any {
	x, y := s.cursor()
	m := map[string]any{
		"cells": cells(s.front()), "alt": s.alt, "cursor": [2]int{x, y}, "edge": s.atEdge, "dec": s.modes(), "ansi": s.ansi, "keypad": s.keypad,
		"pen": s.pen.String(), "link": string(s.link), "sets": s.sets, "gl": s.gl, "margins": [4]int{s.top, s.bottom, s.left, s.right},
		"shape": s.shape, "kitty": s.kitty[s.side()], "keys": s.otherKeys, "title": string(s.title),
	}
	if s.alt {
		m["main"] = cells(s.cells[0])
	}
	k := s.slot()
	m["saved"] = fmt.Sprint(k.x, k.y, k.pen.String(), k.sets, k.gl)
	for k, v := range m {
		if rv := reflect.ValueOf(v); (rv.Kind() == reflect.Slice || rv.Kind() == reflect.Map) && rv.Len() == 0 {
			delete(m, k)
		}
	}
	return m
}

// bare is a terminal that had the agent's bytes and no card.
func bare(w, h int, stream string) *screen {
	s := newScreen(w, h)
	l := &loop{screen: s, tty: io.Discard}
	l.output([]byte(stream))
	for _, t := range l.unfed {
		s.feed(t)
	}
	return s
}

func (r *rig) same(stream string) {
	r.t.Helper()
	r.settle()
	r.mu.Lock()
	defer r.mu.Unlock()
	want := bare(r.outer.w, r.outer.h, stream)
	defer want.close()
	if d := cmp.Diff(state(want), state(r.outer)); d != "" {
		r.t.Fatalf("not as without a card (-bare +host):\n%s\nstream %q", d, stream)
	}
}

func TestScreenComesBackAfterACard(t *testing.T) {
	tests := map[string]string{
		"a prompt":               "$ ls\r\nfile\r\n$ ",
		"colours and hidden":     "\x1b[31mred \x1b[44mon blue\x1b[?25l",
		"cursor at the edge":     strings.Repeat("x", 80),
		"edge in the last line":  "\x1b[24;1H" + strings.Repeat("y", 80),
		"alternate screen":       "shell\r\n\x1b[?1049h\x1b[H\x1b[2Jeditor\x1b[5;5H",
		"alternate, wide":        "\x1b[?1049h\x1b[H日本語 and ☃ é \x1b[10;70H日本",
		"modes":                  "\x1b[?2004h\x1b[?1002;1006h\x1b[?1004h\x1b[?1h\x1b=\x1b[>4;2m\x1b[>5u",
		"alternate with modes":   "\x1b[>1u\x1b[?1049h\x1b[>5u\x1b[?2004h\x1b[?1000h\x1b[3 q",
		"margins and origin":     "\x1b[5;10r\x1b[?6h\x1b[2;3Habc",
		"left and right margins": "\x1b[?69h\x1b[10;20s\x1b[3;12Habc",
		"saved cursor":           "\x1b[7;7H\x1b[1m\x1b7\x1b[2;2H\x1b[m",
		"line drawing":           "\x1b(0lqqk\x1b(B \x1b)0\x0exxx",
		"hyperlink open":         "\x1b]8;;http://x\x1b\\link",
		"half a sequence":        "text\x1b[3",
		"half a character":       "text\xe2\x98",
		"insert, no wrap":        "abc\x1b[4h\x1b[?7l",
		"title":                  "\x1b]2;mine\a",
	}
	for name, before := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 80, 24)
			r.agent.WriteString(before)
			r.settleUnlessCut(before)
			r.ask(request("1", "rm", "-rf", "x"))
			for _, s := range []string{"behind\x1b[?25h", "Run command? y approve \x1b[2J\x1b[H", "\x1b[?1049l\x1b[3;3H\x1b[32mgreen"} {
				r.agent.WriteString(s)
				before += s
			}
			r.settle()
			if !strings.Contains(r.text(), "rm") || strings.Contains(r.text(), "behind") {
				t.Fatalf("the agent drew on the card:\n%s", r.text())
			}
			r.advance(time.Second)
			r.type_("n")
			r.until("the card to go", func() bool { return !strings.Contains(r.text(), "session s1") })
			r.agent.WriteString("after\x1b8x")
			r.same(before + "after\x1b8x")
			if len(r.got) != 1 || r.got[0].Granted || r.got[0].By != "ada" || r.got[0].Means != "tty" || r.got[0].ShownMS != 1000 {
				t.Errorf("answers: %+v", r.got)
			}
		})
	}
}

// settleUnlessCut: behind half a sequence a question would become part of it.
func (r *rig) settleUnlessCut(s string) {
	if strings.HasSuffix(s, "\x1b[3") || strings.HasSuffix(s, "\xe2\x98") {
		r.until("the text", func() bool { return strings.Contains(r.text(), "text") })
		return
	}
	r.settle()
}

func randomStream(r *rand.Rand, n, w, h int) string {
	var b strings.Builder
	p := func(f string, a ...any) { fmt.Fprintf(&b, f, a...) }
	for range n {
		switch r.IntN(26) {
		case 0, 1, 2, 3, 4:
			p("%s", strings.Repeat(string(rune('a'+r.IntN(26))), 1+r.IntN(w)))
		case 5:
			p("\r\n")
		case 6, 7:
			p("\x1b[%d;%dH", 1+r.IntN(h), 1+r.IntN(w))
		case 8:
			p("\x1b[%d;%d;4%dm", r.IntN(10), 30+r.IntN(8), r.IntN(8))
		case 9:
			p("\x1b[m")
		case 10:
			p("\x1b[38;2;%d;2;3m\x1b[48;5;%dm", r.IntN(256), r.IntN(256))
		case 11:
			p("\x1b[%d%c", r.IntN(4), "ABCDEFGLMPSTX@"[r.IntN(14)])
		case 12:
			p("\x1b[%d%c", r.IntN(3), "JK"[r.IntN(2)])
		case 13:
			p("\x1b[%d;%dr", 1+r.IntN(h/2), h/2+1+r.IntN(h/2))
		case 14:
			p("\x1b[r")
		case 15:
			p("\x1b%c", "78DMH=>E"[r.IntN(8)])
		case 16:
			p("\x1b[?1049%c", "hl"[r.IntN(2)])
		case 17:
			p("\x1b[?%d%c", []int{1, 6, 7, 25, 1000, 1002, 1004, 1006, 2004, 69}[r.IntN(10)], "hl"[r.IntN(2)])
		case 18:
			p("\x1b[?6l\x1b[?69l")
		case 19:
			p("\x1b(%c", "0AB"[r.IntN(3)])
		case 20:
			p("%c", "\x0e\x0f\t\b\r\x0b"[r.IntN(6)])
		case 21:
			p("\x1b[%dG─┐│日 ", 1+r.IntN(w-12))
		case 22:
			p("\x1b]8;;http://x/%d\x1b\\link", r.IntN(9))
		case 23:
			p("\x1b]8;;\x1b\\\x1b]2;t%d\a", r.IntN(9))
		case 24:
			p("\x1b[>%du\x1b[%d q", r.IntN(4), r.IntN(7))
		case 25:
			p("\x1b[<u\x1b[s\x1b[u\x1b[3b\x1b[!p")
		}
	}
	return b.String()
}

// After a card at any moment of any stream the person's terminal is in the same
// state as one that never showed it.
func TestScreenComesBackProperty(t *testing.T) {
	seeds := 600
	if os.Getenv("COUNTERSIGN_LONG") != "" {
		seeds = 30_000
	}
	const w, h = 40, 12
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(uint64(seed), 7))
		person := newScreen(w, h)
		l := &loop{screen: newScreen(w, h), tty: &terminal{s: person}, told: map[string]bool{}}
		l.Now = func() time.Time { return time.Unix(1, 0) }
		var open []countersign.Request
		l.Requests = func() []countersign.Request { return open }
		var all []string
		write := func() {
			s := randomStream(rnd, 1+rnd.IntN(40), w, h)
			all = append(all, s)
			for cut := rnd.IntN(len(s) + 1); len(s) > 0; cut = len(s) {
				l.output([]byte(s[:cut]))
				s = s[cut:]
			}
		}
		for range 3 {
			write()
			open = []countersign.Request{request("1", "make")}
			l.look()
			l.over.live = seed%3 == 0 // as after a flood or a resize
			write()
			if got := person.front().String(); !strings.Contains(got, "Run command?") || !strings.Contains(got, "make") {
				t.Fatalf("seed %d: no card, but\n%s", seed, got)
			}
			open = nil
			l.look()
			want := bare(w, h, strings.Join(all, ""))
			have := state(person)
			if seed%3 == 0 {
				have["kitty"] = state(want)["kitty"] // what was pushed behind such a card is lost
				if have["kitty"] == nil {
					delete(have, "kitty")
				}
			}
			if d := cmp.Diff(state(want), have); d != "" {
				t.Fatalf("seed %d: not as without a card (-bare +host):\n%s\nstreams %q", seed, d, all)
			}
			want.close()
		}
		l.screen.close()
		person.close()
	}
}

// terminal is a person's terminal without a pty.
type terminal struct {
	scan scanner
	s    *screen
}

func (t *terminal) Write(p []byte) (int, error) {
	t.scan.scan(p, t.s.feed)
	return len(p), nil
}

func TestAFloodLeavesTheSameScreen(t *testing.T) {
	const w, h = 20, 6
	for seed := range 300 {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		stream := randomStream(r, 5, w+12, h)
		for range r.IntN(60) {
			stream += strings.Repeat("x", r.IntN(50)) + "\r\n"
			if r.IntN(9) == 0 {
				stream += fmt.Sprintf("\x1b[3%dm", r.IntN(8))
			}
			if r.IntN(90) == 0 {
				stream += randomStream(r, 1, w+12, h)
			}
		}
		stream += "end"
		l := &loop{screen: newScreen(w, h), tty: io.Discard}
		for rest := stream; rest != ""; {
			n := 1 + r.IntN(len(rest))
			l.output([]byte(rest[:n]))
			if rest = rest[n:]; r.IntN(2) == 0 {
				l.sync()
			}
		}
		l.sync()
		want := bare(w, h, stream)
		if d := cmp.Diff(state(want), state(l.screen)); d != "" {
			t.Fatalf("seed %d (-all +skipped):\n%s\n%q", seed, d, stream)
		}
		want.close()
		l.screen.close()
	}
}
