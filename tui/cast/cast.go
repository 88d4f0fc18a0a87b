// Package cast records a terminal as an asciicast and reads it again.
//
// The format is asciicast v2 (https://docs.asciinema.org/manual/asciicast/v2/):
// a header line, then one JSON array a line, [seconds, "o", data] for output,
// [seconds, "r", "COLSxROWS"] for a new size, and [seconds, "m", label] where
// output was left out. What was typed is never recorded.
//
// It promises that a Recorder masks secrets (internal/redact), also where they
// come in pieces, before anything leaves it; that its parts, one after the other,
// are one asciicast; that whoever writes to it never waits; and that what it
// leaves out, it says. It touches nothing: parts go to the function it is handed.
// It is a net with known meshes, as redact is: a secret that a program paints with
// cursor movements in its middle passes.
package cast

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// Media is the type of an asciicast.
const Media = "application/x-asciicast"

// Header is the first line.
type Header struct {
	Version   int               `json:"version"`             // 2
	Width     int               `json:"width"`               // columns
	Height    int               `json:"height"`              // rows
	Timestamp int64             `json:"timestamp,omitempty"` // seconds since 1970
	Title     string            `json:"title,omitempty"`
	Env       map[string]string `json:"env,omitempty"`
}

// Kind is an event's code.
type Kind string

// The events that are written; others are read over.
const (
	Output Kind = "o"
	Resize Kind = "r"
	Marker Kind = "m"
)

// Event is one line behind the header.
type Event struct {
	At   time.Duration // since the start
	Kind Kind
	Data string
}

// Size reads the data of a Resize.
func (e Event) Size() (w, h int, ok bool) {
	n, err := fmt.Sscanf(e.Data, "%dx%d", &w, &h)
	return w, h, e.Kind == Resize && n == 2 && err == nil && fits(w) && fits(h)
}

// maxSide bounds a terminal's side, in cells: a forged header must not take all memory.
const maxSide = 4096

func fits(n int) bool { return n > 0 && n <= maxSide }

// line encodes anything as one line; controls are escaped by JSON.
func line(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // a buffer takes all; strings and numbers encode
	return b.Bytes()
}

func (e Event) line() []byte {
	at := json.Number(fmt.Sprintf("%.6f", e.At.Seconds()))
	return line([]any{at, e.Kind, e.Data})
}

// Parse reads an asciicast. A last line that is cut is left out; anything else
// that is malformed is an error that names the line. Times that run backwards are
// held at the latest.
func Parse(b []byte) (Header, []Event, error) {
	var h Header
	first, rest, _ := bytes.Cut(b, []byte("\n"))
	if err := json.Unmarshal(first, &h); err != nil {
		return h, nil, fmt.Errorf("read recording: line 1: %w", err)
	}
	if h.Version != 2 || !fits(h.Width) || !fits(h.Height) {
		return h, nil, fmt.Errorf("read recording: line 1: version %d of %d by %d, want version 2 and a size; a newer countersign may read it", h.Version, h.Width, h.Height)
	}
	var out []Event
	var last time.Duration
	r := bufio.NewReader(bytes.NewReader(rest))
	for n := 2; ; n++ {
		l, err := r.ReadBytes('\n')
		if err != nil { // the end, or a line that is cut
			return h, out, nil
		}
		if len(bytes.TrimSpace(l)) == 0 {
			continue
		}
		e, err := parseEvent(l)
		if err != nil {
			return h, out, fmt.Errorf("read recording: line %d: %w", n, err)
		}
		e.At = max(e.At, last)
		last = e.At
		out = append(out, e)
	}
}

func parseEvent(l []byte) (Event, error) {
	var raw []json.RawMessage
	var at float64
	var e Event
	if err := json.Unmarshal(l, &raw); err != nil {
		return e, err
	}
	if len(raw) != 3 {
		return e, fmt.Errorf("%d fields, want 3", len(raw))
	}
	if err := errors.Join(json.Unmarshal(raw[0], &at), json.Unmarshal(raw[1], &e.Kind), json.Unmarshal(raw[2], &e.Data)); err != nil {
		return e, err
	}
	if math.IsNaN(at) || at < 0 || at > 1e9 {
		return e, fmt.Errorf("a time of %v seconds", at)
	}
	e.At = time.Duration(math.Round(at*1e6)) * time.Microsecond
	e.Data = strings.ToValidUTF8(e.Data, "\ufffd")
	return e, nil
}
