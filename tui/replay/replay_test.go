package replay

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/tui/cast"
	"github.com/countersign/countersign/tui/host"
)

const sec = time.Second

func options() Options {
	return Options{
		Header: cast.Header{Version: 2, Width: 20, Height: 3}, Speed: 1, Idle: 2 * sec,
		Events: []cast.Event{
			{At: 1 * sec, Kind: cast.Output, Data: "$ make\r\n"},
			{At: 31 * sec, Kind: cast.Output, Data: "\x1b]52;c;eA==\aok"},
			{At: 32 * sec, Kind: cast.Resize, Data: "30x4"},
			{At: 33 * sec, Kind: cast.Output, Data: "\x1b[2J\x1b[Hend"},
		},
		Notes: []Note{
			{At: 30 * sec, Text: "allow: make (person ann)"},
			{At: 2 * sec, Card: true, Text: "make\x1b[2J"},
			{At: -sec, Text: "allow: bash (launch)"},
		},
		Screen: func(w, h int) Screen { return host.NewPicture(w, h) },
		Now:    func() time.Time { return time.Unix(0, 0) },
	}
}

// at is what the screen and the two lines below it say.
func (p *player) at() []string {
	f := p.frame(100, 10)
	pic := host.NewPicture(100, 10)
	defer pic.Close()
	pic.Write([]byte(f))
	var out []string
	for _, l := range strings.Split(pic.Text(), "\n") {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, strings.Split(l, "   ")[0])
		}
	}
	return out
}

func TestOneTimeline(t *testing.T) {
	p := newPlayer(options())
	defer func() { p.screen.Close() }()
	see := func(why string, want ...string) {
		t.Helper()
		if d := cmp.Diff(want, p.at()); d != "" {
			t.Errorf("%s (-want +got):\n%s", why, d)
		}
	}
	see("at the start", "0:00.0  allow: bash (launch)", "0:00.0 / 0:33.0  x1  playing")
	p.pass(1500 * time.Millisecond)
	see("after a while", "$ make", "0:00.0  allow: bash (launch)", "0:01.5 / 0:33.0  x1  playing")
	p.press(" ")
	p.pass(time.Hour)
	see("paused", "$ make", "0:00.0  allow: bash (launch)", "0:01.5 / 0:33.0  x1  paused")
	p.press(" ")
	p.press("\x1b[A")
	p.pass(500 * time.Millisecond) // a second: behind the card nothing happened for 28
	see("a card", "$ make", `0:02.0  card: make\u{1b}[2J`, "0:02.5 / 0:33.0  x2  playing")
	p.pass(750 * time.Millisecond)
	see("its answer, idle time left out", "$ make", "0:30.0  allow: make (person ann)", "0:30.0 / 0:33.0  x2  playing")
	p.press("\x1b[C")
	see("the end", "end", "0:30.0  allow: make (person ann)", "0:33.0 / 0:33.0  x2  end")
	p.press("\x1b[D")
	p.press("\x1b[D")
	see("back", "0:00.0  allow: bash (launch)", "0:00.0 / 0:33.0  x2  playing")
	p.press("G")
	p.press("g")
	p.press("-")
	see("the speed", "0:00.0  allow: bash (launch)", "0:00.0 / 0:33.0  x1  playing")
	if !p.press("q") || !p.press("\x03") || p.press("x") {
		t.Error("q and Ctrl-C quit")
	}
}

func TestSeekIsInTheRecordingsTime(t *testing.T) {
	for at, want := range map[time.Duration]string{
		0: "0:00.0 /", 1500 * time.Millisecond: "0:01.5 /", 20 * sec: "/ 0:33.0", 31 * sec: "0:31.0 /", time.Hour: "0:33.0 / 0:33.0",
	} {
		o := options()
		o.Seek = at
		p := newPlayer(o)
		if got := p.status(); !strings.Contains(got, want) {
			t.Errorf("--seek %v: %q", at, got)
		}
		p.screen.Close()
	}
}

func TestWithoutIdleTimeLeftOut(t *testing.T) {
	o := options()
	o.Idle = 0
	p := newPlayer(o)
	defer func() { p.screen.Close() }()
	p.pass(29 * sec)
	if got := p.status(); !strings.Contains(got, "0:29.0 /") {
		t.Error(got)
	}
}

func TestListForPipes(t *testing.T) {
	o := options()
	o.Events[3].Data = "end\x1b[6n\u202e"
	var b strings.Builder
	if err := List(&b, o); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0:00.0  allow: bash (launch)\n0:02.0  card: make\\u{1b}[2J\n0:30.0  allow: make (person ann)\n", "0:33.0  the terminal at the end:\n  | $ make\n  | okend"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.ContainsAny(b.String(), "\x1b\u202e") {
		t.Errorf("%q", b.String())
	}
}

func TestKeysOfOneRead(t *testing.T) {
	if d := cmp.Diff([]string{" ", "\x1b[C", "\x1b[1;5D", "q", "\x1b"}, keys([]byte(" \x1b[C\x1b[1;5Dq\x1b"))); d != "" {
		t.Error(d)
	}
}

func TestClock(t *testing.T) {
	for d, want := range map[time.Duration]string{-sec: "0:00.0", 61500 * time.Millisecond: "1:01.5", 3*time.Hour + 2*time.Minute: "3:02:00.0"} {
		if got := Clock(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
