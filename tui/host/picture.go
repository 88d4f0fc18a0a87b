package host

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/x/vt"
)

// Picture is a terminal that nobody sits at: it knows what one would show after
// all that was written to it, and hands it out as cells alone, so that nothing of
// what was written is ever obeyed by the terminal it is shown on.
type Picture struct {
	screen *screen
	scan   scanner
}

// NewPicture returns an empty one, w columns by h rows. Close it.
func NewPicture(w, h int) *Picture { return &Picture{screen: newScreen(w, h)} }

// Write takes output as an agent's terminal does: what the filter drops live, it
// drops here, and what asks something gets no answer.
func (p *Picture) Write(b []byte) (int, error) {
	p.scan.scan(b, func(t token) {
		if judge(&t) == pass {
			p.screen.feed(t)
		}
	})
	return len(b), nil
}

// Resize gives it another size.
func (p *Picture) Resize(w, h int) { p.screen.resize(w, h) }

// Close ends it.
func (p *Picture) Close() { p.screen.close() }

// Rows draws at most w by h cells: of more rows those around the cursor, of more
// columns the first. Each row is text, styles and links only, and ends plain.
func (p *Picture) Rows(w, h int) []string {
	e := p.screen.front()
	_, y := p.screen.cursor()
	first := max(0, min(y-h+1, e.Height()-h))
	var out []string
	for row := first; row < min(first+h, e.Height()); row++ {
		out = append(out, plainRow(e, row, w))
	}
	return out
}

// Cursor is where it stands in what Rows draws, from 0; shown is false where a
// program hides it or it is cut off.
func (p *Picture) Cursor(w, h int) (x, y int, shown bool) {
	x, y = p.screen.cursor()
	y -= max(0, min(y-h+1, p.screen.front().Height()-h))
	return x, y, p.screen.on(25) && x < w && y >= 0 && y < h
}

// Text is what stands there, without blanks at the ends of lines and below.
func (p *Picture) Text() string {
	e := p.screen.front()
	var rows []string
	for y := range e.Height() {
		row := ""
		for x := range e.Width() {
			switch c := e.CellAt(x, y); {
			case c == nil || c.Width == 0 && (x == 0 || e.CellAt(x-1, y).Width < 2) || c.Width > 0 && split(e, x, y):
				row += " "
			default:
				row += c.Content
			}
		}
		rows = append(rows, strings.TrimRight(row, " "))
	}
	return strings.TrimRight(strings.Join(rows, "\n"), "\n")
}

// plainRow draws the first w cells of a row without moving the cursor by itself
// but forward.
func plainRow(e *vt.Emulator, y, w int) string {
	var b strings.Builder
	at, style, link := -1, "", ""
	w = min(w, e.Width())
	for ; w > 0; w-- { // blanks at the end
		if c := e.CellAt(w-1, y); c != nil && (c.Width == 0 || c.Content != " " && c.Content != "" || !c.Style.IsZero() || c.Link.URL != "") {
			break
		}
	}
	for x := 0; x < w; x++ {
		c := e.CellAt(x, y)
		if c == nil || c.Width == 0 {
			continue
		}
		content := c.Content
		if content == "" || split(e, x, y) || x+c.Width > w {
			content = " "
		}
		if at != x {
			fmt.Fprintf(&b, "\x1b[%dG", x+1)
		}
		if next := c.Style.String(); next != style {
			b.WriteString("\x1b[m" + next)
			style = next
		}
		if next := c.Link.Params + ";" + c.Link.URL; next != link && (c.Link.URL != "" || link != "") {
			b.WriteString("\x1b]8;" + next + "\x1b\\")
			link = next
		}
		b.WriteString(content)
		if at = x + 1; len(content) != 1 { // its width is what terminals disagree about
			at = -1
		}
	}
	if link != "" && link != ";" {
		b.WriteString("\x1b]8;;\x1b\\")
	}
	return b.String() + "\x1b[m"
}
