//go:build unix

package host

import (
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/tui/cast"
)

// What was recorded, played into a picture, is the screen that the agent had:
// whatever the stream, with cards before it and new sizes between.
func TestRecordingShowsTheSameScreen(t *testing.T) {
	for seed := range 300 {
		rnd := rand.New(rand.NewPCG(uint64(seed), 11))
		w, h := 40, 12
		var whole []byte
		now := time.Unix(1, 0)
		rec := cast.New(cast.Header{Width: w, Height: h}, func() time.Time { return now }, nil, func(p cast.Part) error {
			whole = append(whole, p.Data...)
			return nil
		})
		l := &loop{screen: newScreen(w, h), tty: io.Discard, told: map[string]bool{}}
		l.Now, l.Tape = func() time.Time { return now }, rec
		var open []countersign.Request
		l.Requests = func() []countersign.Request { return open }
		for range 6 {
			s := randomStream(rnd, 1+rnd.IntN(30), w, h)
			if rnd.IntN(3) == 0 {
				s += "\x1b]52;c;eA==\a\x1b[6n\x1bP$qm\x1b\\"
			}
			for cut := rnd.IntN(len(s) + 1); len(s) > 0; cut = len(s) {
				l.output([]byte(s[:cut]))
				s = s[cut:]
				now = now.Add(time.Duration(rnd.IntN(30)) * time.Millisecond)
			}
			switch rnd.IntN(4) {
			case 0:
				open = []countersign.Request{request("1", "make")}
			case 1:
				open = nil
			case 2:
				w, h = 30+rnd.IntN(20), 10+rnd.IntN(6)
				l.sync()
				l.screen.resize(w, h)
				rec.Resize(w, h)
			}
			l.look()
		}
		l.sync()
		if err := rec.Close(); err != nil {
			t.Fatal(err)
		}
		header, events, err := cast.Parse(whole)
		if err != nil {
			t.Fatal(err)
		}
		p := NewPicture(header.Width, header.Height)
		for _, e := range events {
			switch {
			case e.Kind == cast.Output:
				if strings.Contains(e.Data, "\x1b]52") || strings.Contains(e.Data, "\x1b[6n") {
					t.Fatalf("seed %d: recorded what is dropped or asks: %q", seed, e.Data)
				}
				p.Write([]byte(e.Data))
			default:
				p.Resize(must(e.Size()))
			}
		}
		if d := cmp.Diff(cells(l.screen.front()), cells(p.screen.front())); d != "" {
			t.Fatalf("seed %d (-live +replayed):\n%s", seed, d)
		}
		x, y := l.screen.cursor()
		if px, py := p.screen.cursor(); x != px || y != py {
			t.Fatalf("seed %d: cursor at %d,%d, replayed at %d,%d", seed, x, y, px, py)
		}
		p.Close()
		l.screen.close()
	}
}

func must(w, h int, _ bool) (int, int) { return w, h }

// Drawn row by row on a terminal, a picture looks as what it shows, and holds
// nothing that acts.
func TestAPictureIsOnlyCells(t *testing.T) {
	const w, h = 40, 12
	for seed := range 200 {
		rnd := rand.New(rand.NewPCG(uint64(seed), 12))
		p := NewPicture(w, h)
		p.Write([]byte(randomStream(rnd, 40, w, h) + "\x1b]0;t\a\x1b]52;c;eA==\a\x1b[?1049h\x1b[?1000h\x1b[?2004h日本 x"))
		shown := newScreen(w, h)
		out := ""
		for y, row := range p.Rows(w, h) {
			out += "\x1b[" + string(rune('0'+(y+1)/10)) + string(rune('0'+(y+1)%10)) + ";1H" + row
		}
		var s scanner
		s.scan([]byte(out), func(tk token) {
			switch {
			case tk.class == text, tk.class == csi && strings.IndexByte("mGH", tk.final) >= 0, tk.class == osc && strings.HasPrefix(string(tk.data), "8;"):
			default:
				t.Fatalf("seed %d: a row holds %q", seed, tk.raw)
			}
			shown.feed(tk)
		})
		if d := cmp.Diff(cells(p.screen.front()), cells(shown.front())); d != "" {
			t.Fatalf("seed %d (-picture +drawn):\n%s", seed, d)
		}
		for _, row := range p.Rows(7, 3) {
			if strings.Contains(row, "\n") {
				t.Fatal(row)
			}
		}
		p.Close()
		shown.close()
	}
}
