package host

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/x/vt"
)

// plainCharsets and plainText undo what makes text come out differently.
const (
	plainCharsets = "\x1b(B\x1b)B\x0f"
	plainText     = "\x1b[m\x1b]8;;\x1b\\" + plainCharsets
)

// defaults brings a terminal in the agent's state back to a fresh one's modes.
// Cells, screen and key stacks stay; the cursor may move.
func (s *screen) defaults() string {
	var b strings.Builder
	if s.top > 0 || s.left > 0 {
		b.WriteString("\x1b[r")
	}
	for _, n := range s.modes() {
		b.WriteString(decSet(n, n == 25 || n == 7))
	}
	b.WriteString("\x1b[4l\x1b[20l" + plainText)
	if s.keypad {
		b.WriteString("\x1b>")
	}
	if s.otherKeys != 0 {
		b.WriteString("\x1b[>4;0m")
	}
	return b.String()
}

// takeover clears the stage for a card: a screen of its own, all of the agent's
// modes off, paste bracketed so that pasted text is no key.
func (s *screen) takeover() string {
	out := s.defaults()
	if !s.alt {
		out += "\x1b[?1049h"
	}
	if len(s.kitty[0])+len(s.kitty[1]) > 0 {
		out += "\x1b[>0u"
	}
	return out + "\x1b[?2004h\x1b[?25l\x1b[?7l\x1b[2J"
}

// standDown ends what takeover began, but for the screen.
func (s *screen) standDown(keys bool) string {
	out := plainText + "\x1b[?2004l\x1b[?7h\x1b[?25h"
	if keys {
		out += "\x1b[<u"
	}
	return out
}

// state brings a terminal with default modes into the agent's. With slot, so is
// what DECRC would restore.
func (s *screen) state(slot bool) string {
	var b strings.Builder
	b.WriteString(plainText)
	if m := s.slot(); slot {
		b.WriteString(m.put() + "\x1b7" + plainText)
	}
	b.WriteString(s.behaviour())
	for _, n := range s.modes() {
		if n != 6 && n != 7 && n != 69 {
			b.WriteString(decSet(n, s.on(n)))
		}
	}
	if s.keypad {
		b.WriteString("\x1b=")
	}
	if s.otherKeys != 0 {
		fmt.Fprintf(&b, "\x1b[>4;%dm", s.otherKeys)
	}
	x, y := s.cursor()
	if s.atEdge {
		b.WriteString(s.edge(x, y))
	} else {
		b.WriteString(s.moveTo(x, y))
	}
	b.WriteString(s.charsets() + sgr(s.pen))
	b.Write(s.link)
	return b.String()
}

// put makes the terminal's cursor what DECSC is to save.
func (m mark) put() string {
	return fmt.Sprintf("\x1b[%d;%dH%s", m.y+1, m.x+1, sgr(m.pen)) + (&screen{sets: m.sets, gl: m.gl}).charsets()
}

// edge prints the last cell of a line once more: the only way to leave the
// cursor behind it.
func (s *screen) edge(x, y int) string {
	c := s.front().CellAt(x, y)
	if c == nil || c.Width != 1 || c.Content == "" {
		return s.moveTo(x, y) + " "
	}
	return s.moveTo(x, y) + sgr(c.Style) + "\x1b]8;" + c.Link.Params + ";" + c.Link.URL + "\x1b\\" + c.Content + "\x1b]8;;\x1b\\"
}

// keyStack pushes the agent's keyboard modes again.
func (s *screen) keyStack() string {
	out := ""
	for _, f := range s.kitty[s.side()] {
		out += fmt.Sprintf("\x1b[>%du", f)
	}
	return out
}

// sane gives the terminal back as a shell expects it.
func (s *screen) sane() string {
	out := s.defaults()
	pop := func(side int) string {
		if n := len(s.kitty[side]); n > 0 {
			return fmt.Sprintf("\x1b[<%du", n)
		}
		return ""
	}
	if s.alt {
		out += pop(1) + "\x1b[?1049l"
	} else if x, y := s.cursor(); s.top > 0 || s.left > 0 || s.on(6) {
		out += fmt.Sprintf("\x1b[%d;%dH", y+1, x+1)
	}
	out += pop(0)
	if s.shape != 0 {
		out += "\x1b[0 q"
	}
	return out + "\x1b[?25h"
}

// paint draws the cells on a screen with default modes. After anything whose
// width terminals disagree about, it says again where the next cell is.
func paint(e *vt.Emulator) string {
	var b strings.Builder
	b.WriteString(plainText) // what ?1049l restored may be anything
	for y := range e.Height() {
		fmt.Fprintf(&b, "\x1b[%d;1H\x1b[K", y+1) // line by line: erasing all at once feeds the scrollback
		paintRow(&b, e, y)
	}
	b.WriteString(plainText)
	return b.String()
}

func paintRow(b *strings.Builder, e *vt.Emulator, y int) {
	at, style, link := -1, "", ""
	for x := 0; x < e.Width(); x++ {
		c := e.CellAt(x, y)
		if c == nil || c.Width == 0 || c.Content == " " && c.Style.IsZero() && c.Link.URL == "" {
			continue
		}
		if at != x {
			fmt.Fprintf(b, "\x1b[%d;%dH", y+1, x+1)
		}
		if next := c.Style.String(); next != style {
			b.WriteString("\x1b[m" + next)
			style = next
		}
		if next := c.Link.Params + ";" + c.Link.URL; next != link && (c.Link.URL != "" || link != "") {
			b.WriteString("\x1b]8;" + next + "\x1b\\")
			link = next
		}
		content := c.Content
		if split(e, x, y) {
			content = " "
		}
		b.WriteString(content)
		if at = x + 1; len(content) != 1 {
			at = -1
		}
	}
	if link != "" {
		b.WriteString("\x1b]8;;\x1b\\")
	}
	b.WriteString("\x1b[m")
}

// split reports whether a wide character has lost its second half: terminals
// show a blank then.
func split(e *vt.Emulator, x, y int) bool {
	c := e.CellAt(x, y)
	if c.Width < 2 {
		return false
	}
	next := e.CellAt(x+1, y)
	return next == nil || next.Width != 0
}
