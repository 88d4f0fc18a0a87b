// Package replay plays the recording of a session's terminal, with the cards and
// the decisions that fell meanwhile on the same timeline.
//
// It promises that nothing of a recording is ever sent to the person's terminal
// but the cells of a picture, drawn by the screen it is handed; that it gives the
// terminal back sane; and that it changes nothing: it touches the terminal alone,
// and decides nothing.
package replay

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/tui/cast"
	"github.com/countersign/countersign/tui/visible"
)

// Screen is where the recording is drawn before it is shown.
type Screen interface {
	io.Writer
	Resize(w, h int)
	Rows(w, h int) []string
	Cursor(w, h int) (x, y int, shown bool)
	Text() string
	Close()
}

// Note is a card or a decision.
type Note struct {
	At   time.Duration // since the recording began; negative before
	Card bool          // it was put before a person; else: what was decided
	Text string        // one line
}

// Options is what a replay is handed.
type Options struct {
	In, Out *os.File // the person's terminal; In may be none
	Header  cast.Header
	Events  []cast.Event
	Notes   []Note
	Speed   float64       // 1 is as it was
	Seek    time.Duration // where to begin, in the recording's time
	Idle    time.Duration // how long nothing may happen; 0: as long as it did
	Screen  func(w, h int) Screen
	Now     func() time.Time
}

// moment is one thing on the timeline.
type moment struct {
	at, play time.Duration // recorded, and as it is played
	event    *cast.Event
	note     *Note
}

// player is where a replay stands.
type player struct {
	Options
	moments []moment
	next    int           // the first that has not happened
	pos     time.Duration // played
	paused  bool
	screen  Screen
	note    *Note  // the last one
	drawn   string // the last frame
}

// merge puts everything on one timeline, without what is longer than idle.
func merge(events []cast.Event, notes []Note, idle time.Duration) []moment {
	var out []moment
	for i := range events {
		out = append(out, moment{at: events[i].At, event: &events[i]})
	}
	for i := range notes {
		out = append(out, moment{at: max(notes[i].At, 0), note: &notes[i]})
	}
	slices.SortStableFunc(out, func(a, b moment) int { return int(min(max(a.at-b.at, -1), 1)) })
	var at, play time.Duration
	for i := range out {
		d := out[i].at - at
		if idle > 0 {
			d = min(d, idle)
		}
		at, play = out[i].at, play+d
		out[i].play = play
	}
	return out
}

func newPlayer(o Options) *player {
	p := &player{Options: o, moments: merge(o.Events, o.Notes, o.Idle)}
	p.screen = o.Screen(o.Header.Width, o.Header.Height)
	p.seek(p.played(o.Seek))
	return p
}

// played is when a time of the recording is played.
func (p *player) played(at time.Duration) time.Duration {
	var was moment
	for _, m := range p.moments {
		if m.at > at {
			return min(was.play+at-was.at, m.play)
		}
		was = m
	}
	return was.play
}

// recorded is the time of the recording that is played now.
func (p *player) recorded() time.Duration {
	if p.next == 0 {
		return p.pos
	}
	at := p.moments[p.next-1].at + p.pos - p.moments[p.next-1].play
	if p.next < len(p.moments) {
		return min(at, p.moments[p.next].at)
	}
	return min(at, p.length())
}

// length of the recording.
func (p *player) length() time.Duration {
	if n := len(p.moments); n > 0 {
		return p.moments[n-1].at
	}
	return 0
}

func (p *player) ended() bool { return p.next == len(p.moments) }

// seek goes to a time, as it is played.
func (p *player) seek(to time.Duration) {
	if n := len(p.moments); n > 0 {
		to = min(to, p.moments[n-1].play)
	}
	to = max(to, 0)
	if to < p.pos { // a screen does not run backwards
		p.screen.Close()
		p.screen = p.Screen(p.Header.Width, p.Header.Height)
		p.next, p.note = 0, nil
	}
	p.pos = to
	for ; !p.ended() && p.moments[p.next].play <= to; p.next++ {
		p.happen(p.moments[p.next])
	}
}

func (p *player) happen(m moment) {
	switch {
	case m.note != nil:
		p.note = m.note
	case m.event.Kind == cast.Output:
		p.screen.Write([]byte(m.event.Data)) //nolint:errcheck // a picture takes all
	case m.event.Kind == cast.Resize:
		if w, h, ok := m.event.Size(); ok {
			p.screen.Resize(w, h)
		}
	case m.event.Kind == cast.Marker:
		p.note = &Note{At: m.at, Text: m.event.Data}
	}
}

// step is how far an arrow goes, in the time that is played.
const step = 5 * time.Second

// Speeds that the arrows reach.
const slowest, fastest = 1.0 / 16, 256

// press takes a key and says whether that was the last.
func (p *player) press(k string) (quit bool) {
	switch k {
	case "q", "Q", "\x03", "\x04":
		return true
	case " ":
		p.paused = !p.paused
	case "\x1b[C", "\x1bOC", "l":
		p.seek(p.pos + step)
	case "\x1b[D", "\x1bOD", "h":
		p.seek(p.pos - step)
	case "\x1b[A", "\x1bOA", "+":
		p.Speed = min(p.Speed*2, fastest)
	case "\x1b[B", "\x1bOB", "-":
		p.Speed = max(p.Speed/2, slowest)
	case "g":
		p.seek(0)
	case "G":
		p.seek(1 << 62)
	}
	return false
}

// keys splits what one read brought.
func keys(b []byte) []string {
	var out []string
	for len(b) > 0 {
		n := 1
		if len(b) >= 3 && b[0] == 0x1b && (b[1] == '[' || b[1] == 'O') {
			for n = 3; n < len(b) && b[n-1] < '@'; n++ {
			}
		}
		out, b = append(out, string(b[:n])), b[n:]
	}
	return out
}

// frame is the whole of the person's terminal: the picture, what was asked or
// decided last, and where it stands.
func (p *player) frame(w, h int) string {
	var b strings.Builder
	b.WriteString("\x1b[?2026h\x1b[?25l")
	rows := max(h-2, 1)
	pic := p.screen.Rows(w, rows)
	for y := range rows {
		fmt.Fprintf(&b, "\x1b[%d;1H\x1b[m\x1b[2K", y+1)
		if y < len(pic) {
			b.WriteString(pic[y])
		}
	}
	if h > 2 {
		fmt.Fprintf(&b, "\x1b[%d;1H\x1b[m\x1b[2K\x1b[7m%s\x1b[m", h-1, fit(words(p.note), w))
	}
	if h > 1 {
		fmt.Fprintf(&b, "\x1b[%d;1H\x1b[m\x1b[2K\x1b[2m%s\x1b[m", h, fit(p.status(), w))
	}
	if x, y, shown := p.screen.Cursor(w, rows); shown {
		fmt.Fprintf(&b, "\x1b[%d;%dH\x1b[?25h", y+1, x+1)
	}
	return b.String() + "\x1b[?2026l"
}

func (p *player) status() string {
	state := "playing"
	switch {
	case p.ended():
		state = "end"
	case p.paused:
		state = "paused"
	}
	return fmt.Sprintf(" %s / %s  x%g  %s   space pause, arrows seek and speed, q quit", Clock(p.recorded()), Clock(p.length()), p.Speed, state)
}

func words(n *Note) string {
	switch {
	case n == nil:
		return ""
	case n.Card:
		return " " + Clock(n.At) + "  card: " + n.Text
	}
	return " " + Clock(n.At) + "  " + n.Text
}

// fit makes a text one line of at most w columns, with nothing in it that a
// terminal acts on.
func fit(s string, w int) string {
	out, _ := visible.String(s)
	if lines := visible.Fold(out, max(w-1, 1)); len(lines) > 0 {
		return lines[0]
	}
	return ""
}

// Clock writes a time as m:ss.t, with hours where there are any.
func Clock(d time.Duration) string {
	d = max(d, 0).Truncate(100 * time.Millisecond)
	m, s := d/time.Minute, (d % time.Minute).Seconds()
	if m >= 60 {
		return fmt.Sprintf("%d:%02d:%04.1f", m/60, m%60, s)
	}
	return fmt.Sprintf("%d:%04.1f", m, s)
}

// List writes the timeline for where no terminal is: a line for each card and
// decision, and what the screen shows at the end.
func List(out io.Writer, o Options) error {
	p := newPlayer(o)
	defer func() { p.screen.Close() }()
	for _, m := range p.moments {
		n := m.note
		if m.event != nil && m.event.Kind == cast.Marker {
			n = &Note{At: m.at, Text: m.event.Data}
		}
		if n == nil {
			continue
		}
		said, _ := visible.String(strings.TrimSpace(words(n)))
		if _, err := fmt.Fprintln(out, said); err != nil {
			return err
		}
	}
	p.seek(1 << 62)
	var b strings.Builder
	for _, l := range strings.Split(p.screen.Text(), "\n") {
		said, _ := visible.String(l)
		b.WriteString("  | " + said + "\n")
	}
	_, err := fmt.Fprintf(out, "%s  the terminal at the end:\n%s", Clock(p.length()), b.String())
	return err
}
