// Package card says what a person is asked, in full, and takes the answer.
//
// It promises that every byte that an approval binds is on the card, escaped
// where it would hide (tui/visible) and never shortened, but for a wrapper of the
// agent's own that its profile knows byte for byte: that is named, the command in
// it stands in full, and the details have both; that the same request at the same
// width gives the same bytes; that no key counts before the card has stood still
// for 500 ms, none approves before the end was in view, and Enter, Space and
// Escape alone decide nothing. It is pure: no terminal, no clock, no files.
package card

import (
	"fmt"
	"strings"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/count"
	"github.com/countersign/countersign/tui/visible"
)

// Look says how a line stands out. Colour never carries meaning.
type Look uint8

// The looks.
const (
	Normal Look = iota
	Head
	Dim
	Warn
)

// Line is one line of a card: printable characters only.
type Line struct {
	Text string
	Look Look
}

// Card is a request as it is shown.
type Card struct {
	Request countersign.Request
	Agent   string // name of the agent that asks
	Weak    string // what of the session's posture is less than whole, or empty
	Details bool   // full hashes, harmless variables, ids
	// Unwrap returns the command that an agent's own wrapper, known byte for byte, was
	// put around, and what that wrapper does. Nil: nothing is known of one.
	Unwrap func(argv []string) (command, does string, ok bool)
}

// Render returns the lines of a screen of the given size with the content moved
// up by scroll lines, and the bytes of the whole card that Approval.Shown
// hashes. Lines carry SGR attributes for bold, faint and reverse, nothing else.
func Render(req countersign.Request, width, height, scroll int) (lines []string, shown []byte) {
	content := Card{Request: req}.Content(width)
	for i := max(scroll, 0); i < len(content) && len(lines) < height; i++ {
		lines = append(lines, content[i].Styled())
	}
	return lines, Bytes(content)
}

// Bytes returns what Approval.Shown is the hash of: the texts, a line feed
// after each.
func Bytes(lines []Line) []byte {
	var b []byte
	for _, l := range lines {
		b = append(append(b, l.Text...), '\n')
	}
	return b
}

// Styled returns the line with its attributes.
func (l Line) Styled() string {
	switch l.Look {
	case Head:
		return "\x1b[1m" + l.Text + "\x1b[m"
	case Warn:
		return "\x1b[1;7m" + l.Text + "\x1b[m"
	case Dim:
		return "\x1b[2m" + l.Text + "\x1b[m"
	}
	return l.Text
}

// Heading is the question.
func (c Card) Heading() string {
	switch c.Request.Action.Kind {
	case countersign.KindExec:
		return "Run command?"
	case countersign.KindFileRead:
		return "Open denied file?"
	case countersign.KindFileWrite:
		return "Write file?"
	case countersign.KindNet:
		return "Connect?"
	case countersign.KindModel:
		return "Send to this model?"
	case countersign.KindMCP:
		return "Call this tool?"
	}
	return "Allow this?"
}

// page collects lines of one width and what was suspicious in them.
type page struct {
	width   int
	lines   []Line
	hidden  bool
	scripts []string
}

// Content returns the whole card, to be scrolled through.
func (c Card) Content(width int) []Line {
	p := &page{width: max(width, 20)}
	a := c.Request.Action
	switch {
	case a.Exec != nil:
		p.exec(a.Exec, c)
	case a.File != nil:
		p.field("path", a.File.Path)
		p.field("operation", a.File.Op)
	case a.Net != nil:
		p.field("to", fmt.Sprintf("%s %s port %d", a.Net.Proto, a.Net.Host, a.Net.Port))
	case a.Model != nil:
		p.field("model", a.Model.Provider+"/"+a.Model.Requested)
		p.field("wire", a.Model.Wire)
	default:
		p.field("action", a.Summary)
	}
	p.compared(c.Request)
	p.ruling(c.Request, c.Details)
	body := p.lines
	p.lines = nil
	p.who(c)
	if p.hidden {
		p.put(Warn, `WARNING: characters that would hide or act are shown as \u{...} or \x{...}`)
	}
	if len(p.scripts) > 0 {
		p.put(Warn, "WARNING: letters of several scripts in one word: "+strings.Join(p.scripts, ", "))
	}
	p.put(Normal, "")
	return append(p.lines, body...)
}

func (p *page) who(c Card) {
	a := c.Request.Action
	agent := c.Agent
	if agent == "" {
		agent = "the agent"
	}
	p.field("asked by", fmt.Sprintf("%s, session %s, process %d %s", agent, c.Request.Session, a.Peer.PID, a.Peer.Exe))
	if c.Weak != "" {
		p.put(Warn, "WARNING: this session enforces less than it could ("+c.Weak+"): countersign doctor")
	}
	if len(a.Peer.Argv) > 0 && c.Details {
		p.field("its line", strings.Join(a.Peer.Argv, " "))
	}
	switch {
	case c.Request.Early:
		p.put(Normal, "The model asks for it, and its agent does not know of it yet. Your answer is good for the same command once, within 15 minutes; another is asked about again.")
	case !c.Request.Pending:
		p.put(Warn, "This attempt has timed out and was denied. Approving lets the same command run if it is tried again soon.")
	}
}

func (p *page) exec(e *countersign.Exec, c Card) {
	details := c.Details
	if !p.unwrapped(e.Argv, c) {
		p.command(e.Argv)
	}
	p.field("directory", e.Cwd)
	p.executable("program", e.Exe, details)
	for _, x := range e.Interp {
		p.executable("run by", x, details)
	}
	if len(e.Hops) > 1 {
		p.field("found by", strings.Join(e.Hops, " -> "))
	}
	if e.Writable {
		p.put(Warn, "WARNING: the session can change this program or a link that leads to it")
	}
	if c.Request.Ruling.Debugs {
		p.put(Warn, "WARNING: it may trace what it starts (rule "+c.Request.Ruling.Rule+"), and so change what that runs after it was looked at")
	}
	if e.ProgramFromAgent {
		p.put(Warn, "WARNING: reads its program from the agent while it runs; each command in it is asked again")
	}
	if e.Again {
		p.put(Normal, "NOTE: this is the agent once more; each command that it starts is asked again")
	}
	p.field("stdin", string(e.Stdin))
	p.lends(e.Lends)
	p.environment(e.Delta, details)
	for _, s := range e.Scripts {
		p.script(s, details)
	}
}

func (p *page) executable(label string, x countersign.Executable, details bool) {
	if !details {
		p.field(label, x.Path+"  sha256 "+prefix(x.SHA256, 16, false))
		return
	}
	p.field(label, x.Path)
	p.field("  sha256", x.SHA256)
	p.field("  inode", fmt.Sprintf("%d on device %d", x.Ino, x.Dev))
}

func (p *page) script(s countersign.Script, details bool) {
	text := string(s.Content)
	n := strings.Count(text, "\n")
	if text != "" && !strings.HasSuffix(text, "\n") {
		n++
	}
	p.put(Head, fmt.Sprintf("script %s: %s, %s", p.clean(s.Path), count.Of(n, "line"), count.Of(len(text), "byte")))
	p.field("  sha256", prefix(s.SHA256, 16, details))
	if text != "" {
		p.element("", strings.TrimSuffix(text, "\n"))
	}
}

func (p *page) ruling(r countersign.Request, details bool) {
	if r.Confirm != "" {
		p.put(Warn, "An approval needs the word "+p.clean(r.Confirm)+" typed.")
	}
	rule := r.Ruling.Rule
	if rule == "" {
		rule = "default"
	}
	if r.Ruling.Layer != "" {
		rule += " (" + r.Ruling.Layer + ")"
	}
	if r.Ruling.Pos != "" {
		rule += " at " + r.Ruling.Pos
	}
	if r.Ruling.Reason != "" {
		rule += ": " + r.Ruling.Reason
	}
	p.field("asked for", rule)
	p.field("digest", prefix(r.Digest, 23, details))
	if details {
		p.field("reuse key", r.Reuse)
		p.field("request", r.ID)
	}
}

// field shows a label and its value, wrapped beside it.
func (p *page) field(label, value string) {
	lead := fmt.Sprintf("%-10s ", label)
	for _, part := range visible.Fold(p.clean(value), p.width-len(lead)) {
		p.lines = append(p.lines, Line{Text: lead + part})
		lead = strings.Repeat(" ", len(lead))
	}
}

// element shows one argument or script exactly. The gutter tells a new line of
// the text from a line that was only too long, and no text can reach it.
func (p *page) element(label, value string) {
	for i, line := range strings.Split(value, "\n") {
		mark := "| "
		if i > 0 {
			label, mark = "", "n "
		}
		parts := visible.Fold(p.text(line), p.width-6)
		for j, part := range parts {
			if j > 0 {
				label, mark = "", "> "
			}
			p.lines = append(p.lines, Line{Text: fmt.Sprintf("%3s %s%s", label, mark, part)})
		}
	}
}

// put adds a text of our own, wrapped.
func (p *page) put(look Look, text string) {
	for _, part := range visible.Fold(text, p.width) {
		p.lines = append(p.lines, Line{Text: part, Look: look})
	}
}

// clean escapes and remembers what it had to escape.
func (p *page) clean(s string) string { return p.note(s, visible.String[string]) }

// text is clean for a line of code.
func (p *page) text(s string) string { return p.note(s, visible.Text[string]) }

func (p *page) note(s string, escape func(string) (string, bool)) string {
	out, flagged := escape(s)
	p.hidden = p.hidden || flagged
	if mixed := visible.Scripts(s); len(mixed) > 0 && len(p.scripts) == 0 {
		p.scripts = mixed
	}
	return out
}

func prefix(s string, n int, full bool) string {
	if full || len(s) <= n {
		return s
	}
	return s[:n] + " (d: all)"
}
