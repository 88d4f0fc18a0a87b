package review

import (
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/count"
	"github.com/countersign/countersign/tui/visible"
)

// line is printable text with one look.
type line struct{ text, look string }

// Looks are SGR parameters; the coloured ones are dropped by Plain.
const (
	bold   = "1"
	dim    = "2"
	invert = "7"
	minus  = "31"
	plus   = "32"
	warn   = "1;7"
)

func (m *model) paint(l line, width int) string {
	text := visible.Fold(l.text, width)[0]
	if l.look == "" || m.Plain && (l.look == minus || l.look == plus) {
		return text
	}
	return "\x1b[" + l.look + "m" + text + "\x1b[m"
}

const (
	around   = 3       // lines shown around a hunk
	maxShown = 4 << 20 // bytes of a hunk that are shown; a larger one shows its hash
)

// room is how many lines of a hunk fit.
func (m *model) room() int { return max(m.height-4, 1) }

// left is the width of the list of files.
func (m *model) left() int { return min(max(m.width/3, 16), 40) }

// View draws the screen.
func (m *model) View() tea.View {
	v := tea.NewView(strings.Join(m.screen(), "\n"))
	v.AltScreen = true
	v.WindowTitle = "countersign review"
	return v
}

func (m *model) screen() []string {
	rows := []string{m.paint(line{m.header(), invert}, m.width)}
	var main []line
	if m.help {
		main = m.helpText()
	} else {
		main = m.window()
	}
	files := m.files(m.room())
	for i := range m.room() {
		var l, r line
		if i < len(files) {
			l = files[i]
		}
		if i < len(main) {
			r = main[i]
		}
		pad := strings.Repeat(" ", max(m.left()-cells(l.text), 0))
		rows = append(rows, m.paint(l, m.left())+pad+"| "+m.paint(r, m.width-m.left()-2))
	}
	for _, l := range m.footer() {
		rows = append(rows, m.paint(l, m.width))
	}
	return rows
}

// cells is the width that a text may take at most.
func cells(s string) int {
	n := 0
	for _, r := range s {
		if n++; r >= 0x80 {
			n++
		}
	}
	return n
}

func (m *model) header() string {
	n := 0
	for _, h := range m.set.Hunks {
		if undecided(h) {
			n++
		}
	}
	session, _ := visible.String(m.set.Session)
	s := fmt.Sprintf(" Review of session %s: %s of %s undecided", session, count.Number(n), count.Of(len(m.set.Hunks), "hunk"))
	return s + strings.Repeat(" ", max(m.width-cells(s), 0))
}

func (m *model) footer() []line {
	keys := line{m.keys(), dim}
	status := line{text: m.note, look: bold}
	n, files := m.ready()
	switch {
	case m.ask != nil:
		status = line{m.ask.question + "  y: yes, any other key: no", warn}
	case m.note != "":
		status.text, _ = visible.String(m.note)
	case n > 0:
		status.text = fmt.Sprintf("A: apply %s to %s", count.Of(n, "accepted hunk"), count.Of(files, "file"))
	}
	stays := line{}
	switch {
	case len(m.staying) > 0:
		stays = line{count.Of(len(m.staying), "commit") + " cannot be taken over: ? says which, why and what to do", bold}
	case m.set.Ignored > 0:
		stays = line{count.Of(m.set.Ignored, "file") + " that git ignores stay in the staging layer", dim}
	}
	return []line{stays, status, keys}
}

// keys are those that fit, set apart so that a key is seen to go with the word
// behind it; what a narrow screen has no room for, the help names.
func (m *model) keys() string {
	all := []string{"y accept", "n reject", "s split", "e edit", "a file", "][ next", "A apply", "? help", "q quit"}
	for _, drop := range []int{-1, 4, 3, 2, 2, 2} {
		if drop >= 0 {
			all = slices.Delete(all, drop, drop+1)
		}
		for _, gap := range []string{"   ", "  "} {
			if s := strings.Join(all, gap); len(s) <= m.width {
				return s
			}
		}
	}
	return strings.Join(all, " ")
}

// files lists the files with their counts, around the one shown.
func (m *model) files(room int) []line {
	type entry struct {
		head              string // a line over the files of a commit
		path, commit      string
		decided, all      int
		high, stale, here bool
	}
	var es []entry
	here := 0
	for i, h := range m.set.Hunks {
		last := entry{}
		if len(es) > 0 {
			last = es[len(es)-1]
		}
		if h.Commit != last.commit {
			es = append(es, entry{head: under(h.Commit), commit: h.Commit})
		}
		if last.path != h.Path || h.Commit != last.commit {
			es = append(es, entry{path: h.Path, commit: h.Commit})
		}
		e := &es[len(es)-1]
		e.all++
		if !undecided(h) {
			e.decided++
		}
		e.high = e.high || h.Risk == countersign.RiskHigh
		e.stale = e.stale || h.State == countersign.Stale
		if i == m.at {
			e.here, here = true, len(es)-1
		}
	}
	var out []line
	from := max(min(here-room/2, len(es)-room), 0)
	for _, e := range es[from:min(from+room, len(es))] {
		if e.head != "" {
			out = append(out, line{e.head, dim})
			continue
		}
		mark, look := "  ", ""
		if e.here {
			mark, look = "> ", bold
		}
		badge := fmt.Sprintf(" %d/%d", e.decided, e.all)
		if e.high {
			badge += " !"
		}
		if e.stale {
			badge += " ~"
		}
		path, _ := visible.String(e.path)
		width := m.left() - 1 - len(mark) - len(badge)
		out = append(out, line{mark + tail(path, width) + strings.Repeat(" ", max(width-cells(tail(path, width)), 0)) + badge, look})
	}
	return out
}

// under is the line that stands over the files of a commit, or of none.
func under(commit string) string {
	if commit == "" {
		return "not committed"
	}
	id, _ := visible.String(commit[:min(len(commit), 10)])
	return "commit " + id
}

// tail keeps the end of a path for the list; the whole one stands over the hunk.
func tail(s string, width int) string {
	r := []rune(s)
	for i := range r {
		if t := string(r[i:]); cells(t) <= width-min(i, 2) {
			if i > 0 {
				t = ".." + t
			}
			return t
		}
	}
	return s
}

// window is the part of the hunk that is in view.
func (m *model) window() []line {
	h := m.current()
	if h == nil {
		return []line{{"nothing to review", bold}}
	}
	width := m.width - m.left() - 2
	if key := fmt.Sprint(h.ID, h.Digest, h.State, width); key != m.bodyFor {
		m.body, m.bodyFor = m.hunk(*h, width), key
	}
	last := max(len(m.body)-m.room(), 0)
	m.scroll = min(max(m.scroll, 0), last)
	m.seen = m.seen || m.scroll == last
	out := m.body[m.scroll:min(m.scroll+m.room(), len(m.body))]
	if m.scroll < last {
		out = append(out[:len(out)-1:len(out)-1], line{fmt.Sprintf("-- %d more lines below (PgDn, End)", last-m.scroll+1), bold})
	}
	return out
}

// hunk lays out a hunk in full.
func (m *model) hunk(h countersign.Hunk, width int) []line {
	p := &page{width: width}
	p.head(h)
	p.clash(m.Source.Clash(h))
	large := h.Op == countersign.OpBinary || h.PreLen+h.PostLen > maxShown
	if !large {
		if err := m.Source.Load(&h); err != nil {
			p.put(warn, "cannot be read: "+explain(err))
			return p.lines
		}
	}
	switch {
	case large || len(h.Pre)+len(h.Post) > maxShown:
		p.put("", "not shown as text:")
		p.put(minus, fmt.Sprintf("- %d bytes, sha256 %s", h.PreLen, h.PreSum))
		p.put(plus, fmt.Sprintf("+ %d bytes, sha256 %s", h.PostLen, h.PostSum))
	case h.Unread():
		p.put("", "a denied file or directory that moves with the one around it: its content is not read, and not shown")
	case h.Op == countersign.OpSymlink:
		p.text(minus, "-", h.Pre, 0)
		p.text(plus, "+", h.Post, 0)
	case len(h.Pre)+len(h.Post) > 0:
		before, after := m.Source.Context(h, around)
		for i, s := range before {
			p.row("", " ", max(h.NewStart, 1)-len(before)+i, s)
		}
		p.text(minus, "-", h.Pre, h.OldStart)
		p.text(plus, "+", h.Post, h.NewStart)
		for i, s := range after {
			p.row("", " ", h.NewStart+max(h.NewLines, 1)+i, s)
		}
	}
	if p.hidden {
		p.lines = append([]line{{`WARNING: characters that would hide or act show as \u{...}, \x{...}`, warn}}, p.lines...)
	}
	return p.lines
}

type page struct {
	width  int
	lines  []line
	hidden bool
}

func (p *page) put(look, text string) {
	for _, part := range visible.Fold(text, p.width) {
		p.lines = append(p.lines, line{part, look})
	}
}

func (p *page) clean(s string) string {
	out, flagged := visible.String(s)
	p.hidden = p.hidden || flagged
	return out
}

func (p *page) head(h countersign.Hunk) {
	p.put(bold, p.clean(h.Path))
	state := h.State
	if state == "" {
		state = countersign.Undecided
	}
	what := string(h.Op)
	switch h.Op {
	case countersign.OpRename:
		what += " from " + p.clean(h.OldPath)
	case countersign.OpMode:
		what += fmt.Sprintf(" %06o -> %06o", h.OldMode, h.NewMode)
	case countersign.OpCreate:
		what += fmt.Sprintf(" %06o", h.NewMode)
	case countersign.OpModify:
		what += fmt.Sprintf(" -%d,%d +%d,%d", h.OldStart, h.OldLines, h.NewStart, h.NewLines)
	}
	digest := h.Digest[:min(len(h.Digest), 19)]
	p.put("", fmt.Sprintf("[%s] %s  %s", state, what, digest))
	if h.Commit != "" {
		on := ""
		if h.Branch != "" { // it never reaches the working tree
			on = ", on branch " + strings.TrimPrefix(h.Branch, "refs/heads/")
		}
		p.put("", "part of commit "+p.clean(h.Commit+on))
	}
	if h.Risk == countersign.RiskHigh {
		p.put(warn, "HIGH RISK: "+p.clean(h.Why))
	}
	switch state {
	case countersign.Stale:
		p.put(warn, "STALE: what it stands on has changed; as it is now")
	case countersign.Edited:
		p.put(bold, "accepted with your own bytes, shown below")
	}
}

// clash shows what the person made of the same place.
func (p *page) clash(c *Clash) {
	switch {
	case c == nil:
		return
	case c.Merges:
		p.put(bold, "you changed this file elsewhere: both go in")
		return
	case c.Turned:
		p.put(warn, "CONFLICT: you changed the same place.")
		p.put("", "Below, - is yours and + the agent's.")
		p.put("", "y takes the agent's, n keeps yours, e: by hand")
	default:
		p.put(warn, "CONFLICT: you changed the same place.")
		p.put("", "As it is, an apply keeps yours and skips this.")
		p.put("", "n keeps yours, t shows it against your file")
	}
	if len(c.Was) > 0 {
		p.put(dim, "what both started from:")
		p.text(dim, " ", c.Was, 0)
	}
	if len(c.Yours) > 0 {
		p.put(dim, "yours, in your file now:")
		p.text(plus, "!", head(c.Yours), 0)
	}
	if !c.Turned {
		p.put(dim, "the agent's:")
	}
}

// head is as much of the person's own text as helps to see what it is.
func head(b []byte) []byte {
	const lines = 40
	n := 0
	for i, x := range b {
		if x == '\n' {
			if n++; n == lines {
				return append(b[:i+1:i+1], "...\n"...)
			}
		}
	}
	return b
}

// text shows exact bytes as numbered lines.
func (p *page) text(look, glyph string, b []byte, from int) {
	if len(b) == 0 {
		return
	}
	lines := strings.Split(string(b), "\n")
	open := lines[len(lines)-1] != ""
	if !open {
		lines = lines[:len(lines)-1]
	}
	for i, s := range lines {
		n := 0
		if from > 0 {
			n = from + i
		}
		p.row(look, glyph, n, s)
	}
	if open && from > 0 {
		p.put(dim, `      \ no line end here`)
	}
}

// row shows one line; what is too long goes on below, marked in the gutter.
func (p *page) row(look, glyph string, n int, s string) {
	num := ""
	if n > 0 {
		num = fmt.Sprint(n)
	}
	s, cr := strings.CutSuffix(s, "\r") // a line end of its own kind, no trick
	out, flagged := visible.Text(s)
	p.hidden = p.hidden || flagged
	if cr {
		out += `\u{d}`
	}
	for _, part := range visible.Fold(out, p.width-8) {
		p.lines = append(p.lines, line{fmt.Sprintf("%5s %s %s", num, glyph, part), look})
		num = ">"
	}
}

func (m *model) helpText() []line {
	p := &page{width: m.width - m.left() - 2}
	for _, s := range m.staying {
		p.put(bold, p.clean(s))
		p.put("", "")
	}
	out := p.lines
	for _, s := range []string{
		"] [        next, previous undecided hunk",
		"j k        next, previous hunk",
		"down up PgDn PgUp Home End   scroll the hunk",
		"y          accept (once its end was in view)",
		"n          reject",
		"a          accept what is undecided in this file,",
		"           high-risk hunks apart",
		"s          split into smaller hunks",
		"e          edit the new lines, and accept them so",
		"c          next hunk where you changed the same place",
		"t          there: show it against your file",
		"A          apply what is accepted to the real tree",
		"q          leave; decisions are kept",
		"", "!  high risk    ~  stale: the file has changed since", "", "any key: back",
	} {
		out = append(out, line{s, ""})
	}
	return out
}
