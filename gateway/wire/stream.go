package wire

import (
	"bytes"
	"strings"
)

// maxEvent bounds one event; larger ones (images) say nothing that is counted.
const maxEvent = 8 << 20

// Splitter takes the bytes of an answer in any pieces and hands out its JSON
// texts: the data of server-sent events (WHATWG HTML, section 9.2), the lines of
// NDJSON, or the whole body. What it hands out is valid only during the call.
type Splitter struct {
	take  func(data []byte)
	sse   bool
	lines bool

	line []byte // the line, or the body, that is not whole yet
	data []byte // of the event that is not whole yet
	skip bool   // it is too large to be read
	cr   bool   // the last byte ended a line as a carriage return
	fed  bool   // anything since the last event

	begun bool   // a line of events has come
	known bool   // what is said to be no stream is none, or is one
	head  []byte // bytes until that is known
}

// NewSplitter reads an answer of this media type.
func NewSplitter(media string, take func(data []byte)) *Splitter {
	media = strings.ToLower(media)
	return &Splitter{
		take: take, sse: strings.HasPrefix(media, "text/event-stream"),
		lines: strings.HasPrefix(media, "application/x-ndjson") || strings.HasPrefix(media, "application/jsonl"),
	}
}

// fields begin the lines of an event stream; no JSON text begins so.
var fields = []string{"data:", "event:", "id:", "retry:", ":"}

const mark = "\xef\xbb\xbf" // of byte order, which an event stream may begin with

// sniff looks at the beginning of an answer that is said to be no stream: clients
// that asked for one read events whatever the media type says. It returns what is
// to be read, nothing as long as it cannot tell.
func (s *Splitter) sniff(b []byte, end bool) []byte {
	head := b
	if len(s.head) > 0 {
		head = append(s.head, b...)
	}
	text := bytes.TrimPrefix(head, []byte(mark))
	for _, f := range fields {
		switch {
		case bytes.HasPrefix(text, []byte(f)):
			s.sse = true
		case !end && len(text) < len(f) && (strings.HasPrefix(f, string(text)) || strings.HasPrefix(mark, string(text))):
			s.head = bytes.Clone(head)
			return nil
		}
	}
	s.known, s.head = true, nil
	return head
}

// Feed takes the next bytes. The first of an answer in one piece, which mostly are all
// of it, must stay as they are until its End.
func (s *Splitter) Feed(b []byte) {
	if !s.known && !s.sse && !s.lines {
		if b = s.sniff(b, false); b == nil {
			return
		}
	}
	if !s.sse && !s.lines {
		if len(s.line) == 0 && !s.skip && len(b) <= maxEvent {
			s.line = b[:len(b):len(b)]
			return
		}
		s.add(b)
		return
	}
	for len(b) > 0 {
		if s.cr && b[0] == '\n' {
			s.cr, b = false, b[1:]
			continue
		}
		s.cr, s.fed = false, true
		n := bytes.IndexAny(b, "\r\n")
		if n < 0 {
			s.add(b)
			return
		}
		s.add(b[:n])
		s.cr = b[n] == '\r'
		b = b[n+1:]
		s.end()
	}
}

func (s *Splitter) add(b []byte) {
	if len(s.line)+len(b) > maxEvent {
		s.line, s.skip = nil, true
		return
	}
	s.line = append(s.line, b...)
}

// end takes a whole line.
func (s *Splitter) end() {
	line := s.line
	s.line = s.line[:0]
	if s.lines {
		if !s.skip && len(bytes.TrimSpace(line)) > 0 {
			s.take(line)
		}
		s.skip, s.fed = false, false
		return
	}
	if len(line) == 0 {
		if !s.skip && len(s.data) > 0 {
			s.take(bytes.TrimSuffix(s.data, []byte("\n")))
		}
		s.data, s.skip, s.fed = s.data[:0], false, false
		return
	}
	if !s.begun {
		s.begun, line = true, bytes.TrimPrefix(line, []byte(mark))
	}
	if d, ok := bytes.CutPrefix(line, []byte("data:")); ok {
		if len(s.data)+len(d) > maxEvent {
			s.data, s.skip = s.data[:0], true
			return
		}
		s.data = append(append(s.data, bytes.TrimPrefix(d, []byte(" "))...), '\n')
	}
}

// Open reports whether bytes have come since the last event ended, so that what
// is appended to the stream must end it first.
func (s *Splitter) Open() bool { return s.fed }

// Streams reports whether the answer comes in events.
func (s *Splitter) Streams() bool { return s.sse || s.lines }

// Lines reports whether the stream is of lines, a JSON text each.
func (s *Splitter) Lines() bool { return s.lines }

// End takes what has no end of its own: a body, the last event of a stream.
func (s *Splitter) End() {
	if !s.known && !s.sse && !s.lines {
		s.Feed(s.sniff(nil, true))
	}
	switch {
	case s.sse:
		s.end()
		s.end()
	case s.lines:
		s.end()
	case !s.skip && len(s.line) > 0:
		s.take(s.line)
	}
	s.line, s.data = nil, nil
}
