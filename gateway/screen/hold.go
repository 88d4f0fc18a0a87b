package screen

import (
	"bytes"
	"errors"

	"github.com/countersign/countersign/gateway/scan"
	"github.com/countersign/countersign/gateway/wire"
)

// Hold lets an answer go on no further than it is known to hold no secret that
// policy blocks: the text of events is held for at most scan.Window bytes, and a
// body that is one JSON text until it is whole. What of an answer is text the
// wire's tally says; each event is searched too as it is, for fields that the
// tally does not know.
type Hold struct {
	scanner *scan.Scanner
	rules   Rules
	tally   *wire.Tally

	held   []byte
	frames []frame
	spoken map[string]*spoken
	open   frame // the one whose end is not there yet
	sent   int   // bytes that went on
	from   int   // where the open frame begins
	whole  *scan.Finding
	failed error
}

// spoken is one text of the answer.
type spoken struct {
	*scan.Stream
	size int
}

// frame is an event, or some: it may go on when its texts may.
type frame struct {
	end   int // in the answer's bytes
	parts []part
}

type part struct {
	of  *spoken
	end int // in that text
}

// NewHold holds an answer that tally reads.
func NewHold(s *scan.Scanner, rules Rules, tally *wire.Tally) *Hold {
	h := &Hold{scanner: s, rules: rules, tally: tally, spoken: map[string]*spoken{}}
	tally.Heard = h.hear
	return h
}

func (h *Hold) blocks(rule string, low bool) bool {
	word, _ := h.rules.Secret(rule, low, true)
	return word == Block
}

// hear takes a piece of a text.
func (h *Hold) hear(name, piece string) {
	s := h.spoken[name]
	if s == nil {
		if len(h.spoken) >= maxTexts {
			h.failed = errTooMany
			return
		}
		s = &spoken{Stream: h.scanner.Stream(h.blocks)}
		h.spoken[name] = s
	}
	s.Feed(piece)
	s.size += len(piece)
	h.open.parts = append(h.open.parts, part{s, s.size})
}

// Next takes bytes and returns those that may go on. feed has the tally read some
// of them; nil: it has read all. A finding, or an error, stops the answer.
func (h *Hold) Next(b []byte, feed func([]byte)) ([]byte, *scan.Finding, error) {
	for len(b) > 0 {
		n := len(b)
		if feed != nil {
			if i := bytes.IndexByte(b, '\n'); i >= 0 {
				n = i + 1
			}
			feed(b[:n])
		}
		h.held = append(h.held, b[:n]...)
		if b = b[n:]; h.tally.Streams() && !h.tally.Open() {
			h.mark()
		}
	}
	if f, err := h.stops(); f != nil || err != nil {
		return nil, f, err
	}
	free := 0
	for len(h.frames) > 0 && h.frames[0].free() {
		free = h.frames[0].end - h.sent
		h.frames = h.frames[1:]
	}
	out := h.held[:free:free]
	h.held, h.sent = h.held[free:], h.sent+free
	return out, nil, nil
}

// End takes the last bytes, which the tally has read to its end, and returns all
// that is held.
func (h *Hold) End(b []byte) ([]byte, *scan.Finding, error) {
	h.held = append(h.held, b...)
	if h.tally.Streams() {
		h.mark()
	}
	for _, s := range h.spoken {
		_, _ = s.End() // its error is that of Blocked
	}
	if f, err := h.stops(); f != nil || err != nil {
		return nil, f, err
	}
	out := h.held
	h.held, h.frames = nil, nil
	return out, nil, nil
}

// mark ends a frame and looks at it.
func (h *Hold) mark() {
	h.open.end = h.sent + len(h.held)
	event := string(h.held[h.from-h.sent:])
	found, err := h.scanner.Text(event, scan.NewBudget(len(event)))
	for i, f := range found {
		if h.whole == nil && h.blocks(f.Rule, f.Low) {
			h.whole = &found[i]
		}
	}
	if err != nil {
		h.failed = err
	}
	h.from = h.open.end
	h.frames = append(h.frames, h.open)
	h.open = frame{}
}

func (f *frame) free() bool {
	for _, p := range f.parts {
		if p.end > p.of.size-p.of.Held() {
			return false
		}
	}
	return true
}

// maxHeld bounds what is held of an answer in one piece.
const maxHeld = 32 << 20

// maxTexts bounds the texts of one answer: its words and its calls of tools.
const maxTexts = 2048

var (
	errTooLarge = errors.New("an answer in one piece is too large to be held")
	errTooMany  = errors.New("an answer of too many parts cannot be held")
)

// stops returns a secret that stands in the way, or why that cannot be said.
func (h *Hold) stops() (*scan.Finding, error) {
	if h.failed != nil || h.whole != nil {
		return h.whole, h.failed
	}
	for _, s := range h.spoken {
		if f, err := s.Blocked(); f != nil || err != nil {
			return f, err
		}
	}
	if len(h.held) > maxHeld {
		return nil, errTooLarge
	}
	return nil, nil
}
