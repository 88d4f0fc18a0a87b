//go:build unix

package host

import (
	"fmt"
	"strings"

	"github.com/countersign/countersign/tui/card"
)

// overlay is a card that stands on the agent's screen.
type overlay struct {
	state *card.State
	alt   bool   // the agent was on the alternate screen, and never left it
	keys  bool   // the keyboard stack was pushed
	back  string // brings the terminal back to where the agent was
	early bool   // as drawn, it takes no keys yet
	held  []byte // what the agent has written since, filtered
	live  bool   // too much or another size: draw from the emulator instead
}

// press gives keys to the card. Several keys in one read were not typed by
// hand: they decide nothing.
func (l *loop) press(ps []press) {
	n := 0
	for _, p := range ps {
		if p.reply == nil {
			n++
		}
	}
	for _, p := range ps {
		switch {
		case p.reply != nil:
			l.send(p.reply)
		case l.over == nil:
		case p.key == suspendKey:
			l.suspend()
		case n > 1 && !l.over.state.Texting():
			l.over.state.Press(card.Other, l.Now())
		default:
			l.decide(p.key)
		}
	}
	l.draw()
}

func (l *loop) decide(k card.Key) {
	st := l.over.state
	a := st.Press(k, l.Now())
	if a == nil {
		return
	}
	a.By = l.User
	if err := l.Answer(st.Request.ID, st.Request.Digest, *a); err != nil {
		st.Note = strings.Join(strings.Fields(err.Error()), " ")
		return
	}
	l.over.state = nil
	l.look()
}

// look puts the card in step with the queue. What is shown stays until it is
// answered or gone; nothing takes its place meanwhile.
func (l *loop) look() {
	open := l.Requests()
	if len(open) == 0 {
		l.lower()
		return
	}
	for _, r := range open {
		if !l.told[r.ID] {
			l.told[r.ID] = true
			defer l.call()
			break
		}
	}
	if l.over == nil {
		l.raise()
	}
	now := l.Now()
	pos := 0
	for i, r := range open {
		if st := l.over.state; st != nil && st.Same(r) {
			pos = i + 1
		}
	}
	if pos == 0 {
		pos = 1
		c := card.Card{Request: open[0], Agent: l.Agent, Weak: l.Weak, Unwrap: l.Unwrap}
		l.over.state = card.Show(c, now)
		l.keys = keys{}
		defer l.draw()
	}
	if st := l.over.state; st.Pos != pos || st.Total != len(open) {
		st.Pos, st.Total = pos, len(open)
		l.draw()
	}
}

// call rings for the person. The words are ours alone.
func (l *loop) call() {
	const words = "Countersign: a request waits for your answer"
	l.write("\a\x1b]9;" + words + "\x1b\\\x1b]777;notify;Countersign;" + words + "\x1b\\")
}

func (l *loop) raise() {
	l.sync()
	s := l.screen
	o := &overlay{alt: s.alt, keys: len(s.kitty[0])+len(s.kitty[1]) > 0}
	o.back = s.standDown(o.keys)
	if s.alt {
		o.back += paint(s.front())
	} else {
		o.back += "\x1b[?1049l"
	}
	o.back += s.state(!s.alt)
	l.over = o
	l.write(s.takeover())
}

func (l *loop) lower() {
	o, s := l.over, l.screen
	if o == nil {
		return
	}
	l.over = nil
	if !o.live {
		l.write(o.back + string(o.held))
		return
	}
	out := s.standDown(o.keys)
	if !o.alt || !s.alt {
		out += "\x1b[?1049l"
	}
	l.write(out + s.redraw(o.alt))
}

// redraw draws everything anew on a terminal with default modes; front says
// that the alternate screen is up already.
func (s *screen) redraw(front bool) string {
	out := ""
	if !front || !s.alt {
		out += paint(s.cells[0])
	}
	if s.alt {
		if !front {
			if m := s.saved[0]; m != nil { // where leaving the alternate screen will put the cursor
				out += m.put()
			}
			out += "\x1b[?1049h"
		}
		out += paint(s.cells[1])
	}
	return out + s.state(true) + fmt.Sprintf("\x1b[%d q", s.shape) + string(s.title)
}

func (l *loop) draw() {
	if l.over == nil || l.over.state == nil {
		return
	}
	now := l.Now()
	l.over.early = now.Before(l.over.state.ArmedAt())
	var b strings.Builder
	b.WriteString("\x1b[?2026h")
	for i, line := range l.over.state.Screen(l.screen.w, l.screen.h, now) {
		fmt.Fprintf(&b, "\x1b[%d;1H\x1b[m\x1b[2K%s", i+1, line)
	}
	b.WriteString("\x1b[?2026l")
	l.write(b.String())
}

// reply answers the agent for the terminal while a card stands in front of it.
func (l *loop) reply(t token) {
	x, y := l.screen.cursor()
	answer := ""
	switch {
	case t.final == 'n' && t.num(0, 0) == 5:
		answer = "\x1b[0n"
	case t.final == 'n' && t.num(0, 0) == 6 && t.prefix == '?':
		answer = fmt.Sprintf("\x1b[?%d;%d;1R", y+1, x+1)
	case t.final == 'n' && t.num(0, 0) == 6:
		answer = fmt.Sprintf("\x1b[%d;%dR", y+1, x+1)
	case t.final == 'c' && t.prefix == 0:
		answer = "\x1b[?62;22c"
	case t.final == 'c' && t.prefix == '>':
		answer = "\x1b[>1;10;0c"
	case t.final == 'p' && t.prefix == '?':
		state := 2
		if l.screen.on(t.num(0, 0)) {
			state = 1
		} else if !decModes[t.num(0, 0)] {
			state = 0
		}
		answer = fmt.Sprintf("\x1b[?%d;%d$y", t.num(0, 0), state)
	case t.final == 't' && t.num(0, 0) == 18:
		answer = fmt.Sprintf("\x1b[8;%d;%dt", l.screen.h, l.screen.w)
	}
	l.send([]byte(answer))
}
