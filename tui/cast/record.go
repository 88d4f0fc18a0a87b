package cast

import (
	"fmt"
	"sync"
	"time"
)

const (
	// Every is how often a part is kept: what a crash may cost.
	Every = 5 * time.Second
	// maxQueue is when one is kept sooner, in bytes.
	maxQueue = 512 << 10
	// maxWaiting bounds what waits for a slow keeper, in bytes.
	maxWaiting = 16 << 20
	// A terminal may write burst bytes at once and rate bytes a second; what is
	// beyond nobody has read, and is counted instead. A piece costs pieceCost more.
	burst     = 8 << 20
	rate      = 256 << 10
	pieceCost = 16
	// What comes within together is one event, up to maxEvent bytes.
	together = 10 * time.Millisecond
	maxEvent = 32 << 10
)

// Part is a piece of an asciicast: whole lines.
type Part struct {
	N        int           // from 1; the first has the header
	Start    time.Time     // of the recording
	From, To time.Duration // of its events, since the start
	Lost     int64         // bytes of output left out
	Data     []byte
}

// item is what was written and is not looked at yet.
type item struct {
	at    time.Duration
	kind  Kind
	n     int // bytes of the queue, or, of a Marker, that were lost
	text  bool
	still bool
}

// Recorder takes down a terminal. Its methods may be called concurrently; Text,
// Control and Resize never wait.
type Recorder struct {
	now   func() time.Time
	start time.Time
	keep  func(Part) error
	full  chan struct{}
	stop  chan struct{}
	done  chan struct{}

	mu     sync.Mutex
	closed bool
	w, h   int
	queue  []item
	bytes  []byte // of the queue
	last   time.Duration
	room   float64 // bytes that may be written at once
	filled time.Duration
	lost   int // since the last marker

	// Only run's goroutine touches these; err is read after done.
	mask masker
	open Event // output that goes on; its data is in said
	said []byte
	part Part
	err  error
}

// New begins a recording of a terminal of the header's size. keep is called from
// one goroutine with one part after the other; after its first error nothing is
// recorded any more. tick fires when a part is due.
func New(h Header, now func() time.Time, tick <-chan time.Time, keep func(Part) error) *Recorder {
	r := &Recorder{now: now, start: now(), keep: keep, full: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}), w: h.Width, h: h.Height, room: burst}
	h.Version, h.Timestamp = 2, r.start.Unix()
	r.part = Part{N: 1, Start: r.start, Data: line(h)}
	r.mask.emit = r.output
	go r.run(tick)
	return r
}

// Text takes printable characters, whole ones, in UTF-8.
func (r *Recorder) Text(b []byte) { r.take(item{kind: Output, text: true}, b) }

// Control takes one control or one whole sequence; still says that it leaves the
// cursor where it is.
func (r *Recorder) Control(raw []byte, still bool) { r.take(item{kind: Output, still: still}, raw) }

// Resize takes a new size, in cells; the same again is nothing.
func (r *Recorder) Resize(w, h int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || w == r.w && h == r.h || !fits(w) || !fits(h) {
		return
	}
	r.w, r.h = w, h
	r.push(item{at: r.at(), kind: Resize, still: true}, fmt.Appendf(nil, "%dx%d", w, h))
}

// Close keeps what is left and returns the first error of keep.
func (r *Recorder) Close() error {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		r.gap()
		close(r.stop)
	}
	r.mu.Unlock()
	<-r.done
	return r.err
}

// at is now, since the start; it never runs backwards.
func (r *Recorder) at() time.Duration {
	r.last = max(r.last, r.now().Sub(r.start))
	return r.last
}

func (r *Recorder) take(it item, b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || len(b) == 0 {
		return
	}
	it.at = r.at()
	r.room = min(burst, r.room+(it.at-r.filled).Seconds()*rate)
	r.filled = it.at
	switch cost := float64(len(b) + pieceCost); {
	case cost > r.room, len(r.bytes) > maxWaiting, r.lost > 0 && r.room < burst/8: // one gap, not a thousand
		r.lost += len(b)
		return
	default:
		r.room -= cost
	}
	r.gap()
	r.push(it, b)
	if len(r.bytes) > maxQueue {
		select {
		case r.full <- struct{}{}:
		default:
		}
	}
}

func (r *Recorder) push(it item, b []byte) {
	it.n = len(b)
	r.queue, r.bytes = append(r.queue, it), append(r.bytes, b...)
}

// gap says what was left out.
func (r *Recorder) gap() {
	if r.lost > 0 {
		r.queue = append(r.queue, item{at: r.at(), kind: Marker, n: r.lost})
		r.lost = 0
	}
}

func (r *Recorder) run(tick <-chan time.Time) {
	defer close(r.done)
	for last := false; !last; {
		select {
		case <-tick:
		case <-r.full:
		case <-r.stop:
			last = true
		}
		p := r.due(last)
		if len(p.Data) == 0 {
			continue
		}
		if r.err = r.keep(p); r.err != nil {
			r.mu.Lock()
			r.closed, r.queue, r.bytes = true, nil, nil
			r.mu.Unlock()
			return
		}
	}
}

// due works through the queue and takes the part; it is empty if nothing came.
func (r *Recorder) due(last bool) Part {
	r.mu.Lock()
	queue, b := r.queue, r.bytes
	r.queue, r.bytes = nil, nil
	r.mu.Unlock()
	for _, it := range queue {
		if it.kind == Marker {
			r.mask.end()
			r.part.Lost += int64(it.n)
			r.output(it.at, Marker, fmt.Appendf(nil, "%d bytes of output were not recorded: too much at once", it.n))
			continue
		}
		raw := b[:it.n]
		b = b[it.n:]
		switch {
		case it.text:
			r.mask.text(it.at, raw)
		case it.still:
			r.mask.still(it.at, it.kind, said(raw))
		default:
			r.mask.move(it.at, said(raw))
		}
	}
	if r.mask.settle(); last {
		r.mask.end()
	}
	r.put()
	p := r.part
	if len(p.Data) > 0 {
		r.part = Part{N: p.N + 1, Start: r.start}
	}
	return p
}

// output takes what the masker lets go. What comes within a moment is one event.
func (r *Recorder) output(at time.Duration, kind Kind, raw []byte) {
	if r.open.Kind != kind || kind != Output || at-r.open.At > together || len(r.said) > maxEvent {
		r.put()
		r.open = Event{At: at, Kind: kind}
	}
	r.said = append(r.said, raw...)
}

// put writes the open event into the part.
func (r *Recorder) put() {
	if r.open.Kind == "" {
		return
	}
	if r.part.To == 0 {
		r.part.From = r.open.At
	}
	r.open.Data = string(r.said)
	r.part.To = r.open.At
	r.part.Data = append(r.part.Data, r.open.line()...)
	r.open, r.said = Event{}, r.said[:0]
}
