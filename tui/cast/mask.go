package cast

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"

	"github.com/countersign/countersign/internal/redact"
)

const (
	// maxHeld is how much text waits for the end of its line, in bytes.
	maxHeld = 8 << 10
	// context is how much of a longer line is looked at again with what follows.
	context = 1 << 10
)

// piece is text, a sequence that leaves the cursor where it is, or a new size, at
// its time.
type piece struct {
	at   time.Duration
	kind Kind
	raw  []byte
	text bool
}

// masker finds secrets in the text of a line, in however many pieces it comes,
// and lets it go with each of their columns covered. What may still become a
// secret it holds: the last word.
type masker struct {
	line string // the text since the cursor last moved by itself, also what is gone
	gone int    // how much of line was let go
	held []piece
	emit func(at time.Duration, kind Kind, raw []byte)
}

// text keeps b until it goes.
func (m *masker) text(at time.Duration, b []byte) {
	m.line += string(b)
	m.held = append(m.held, piece{at, Output, b, true})
	if len(m.line)-m.gone > maxHeld {
		m.settle()
		if len(m.line)-m.gone > maxHeld {
			m.release(len(m.line) - context)
		}
		m.trim()
	}
}

// still takes what does not end a line: a colour, a mode, a link, a new size.
func (m *masker) still(at time.Duration, kind Kind, raw []byte) {
	m.held = append(m.held, piece{at, kind, raw, false})
	if len(m.held) > maxHeld { // no text at all
		m.release(len(m.line))
	}
}

// move takes what ends a line.
func (m *masker) move(at time.Duration, raw []byte) {
	m.end()
	m.emit(at, Output, raw)
}

func (m *masker) end() {
	m.release(len(m.line))
	m.line, m.gone = "", 0
}

// settle lets go what stands before the last word.
func (m *masker) settle() {
	if n := strings.LastIndexByte(m.line, ' ') + 1; n > m.gone {
		m.release(n)
	}
	if m.gone == len(m.line) {
		m.release(m.gone)
	}
}

// trim forgets what is long gone. Of a secret that goes on the beginning stays: by
// it the rest is known.
func (m *masker) trim() {
	from := m.gone - context
	for _, sp := range redact.Spans(m.line) {
		if sp[0] < m.gone && sp[1] >= m.gone && m.gone-sp[0] > context {
			head := strings.ToValidUTF8(m.line[max(sp[0]-context, 0):sp[0]+64], "")
			m.line, m.gone = head+m.line[m.gone:], len(head)
			return
		}
	}
	if from <= 0 {
		return
	}
	for from < m.gone && !utf8.RuneStart(m.line[from]) {
		from++
	}
	m.line, m.gone = m.line[from:], m.gone-from
}

// release lets go the line up to byte n, and what stands between.
func (m *masker) release(n int) {
	for n > 0 && n < len(m.line) && !utf8.RuneStart(m.line[n]) {
		n--
	}
	spans := redact.Spans(m.line)
	i := 0
	for ; i < len(m.held); i++ {
		p := &m.held[i]
		if !p.text {
			m.emit(p.at, p.kind, p.raw)
			continue
		}
		take := min(len(p.raw), n-m.gone)
		if take <= 0 {
			break
		}
		m.emit(p.at, Output, covered(m.line[m.gone:m.gone+take], m.gone, spans))
		m.gone += take
		if take < len(p.raw) {
			p.raw = p.raw[take:]
			break
		}
	}
	m.held = append(m.held[:0], m.held[i:]...)
}

// covered is s, which stands at byte off of its line, with stars over each column
// of the spans, so that nothing behind them moves.
func covered(s string, off int, spans [][2]int) []byte {
	var out []byte
	at := 0
	for _, sp := range spans {
		from, to := max(sp[0]-off, at), min(sp[1]-off, len(s))
		if from >= to {
			continue
		}
		out = append(out, s[at:from]...)
		out = append(out, strings.Repeat("*", ansi.StringWidth(s[from:to]))...)
		at = to
	}
	return append(out, s[at:]...)
}

// said masks the words of an OSC: a title, a link.
func said(raw []byte) []byte {
	if !bytes.HasPrefix(raw, []byte("\x1b]")) {
		return raw
	}
	body, end := strings.CutSuffix(string(raw[2:]), "\x1b\\")
	out := append([]byte("\x1b]"), covered(body, 0, redact.Spans(body))...)
	if end {
		out = append(out, "\x1b\\"...)
	}
	return out
}
