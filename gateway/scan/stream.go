package scan

import "strings"

// Window is how much of a text a Stream holds at most, in bytes: what lies
// further back has gone on.
const Window = 1024

// soon is how far behind a keyword quick looks.
const soon = 256

// Stream finds secrets in a text that comes in pieces, as it stands: what is
// encoded is left to who sees the whole. It belongs to one goroutine.
type Stream struct {
	s      *Scanner
	rules  *Rules
	blocks func(rule string, low bool) bool
	known  bool // of what is known, something blocks
	budget Budget

	buf    strings.Builder // what is still needed, and more
	text   string          // the same
	base   int             // where it begins in all of the text
	state  uint32
	next   int // where the next known value may begin
	wait   []waiting
	found  []Finding
	stop   *Finding
	failed error
}

// waiting is a keyword, or the beginning of a known value, of which what follows
// is not there yet.
type waiting struct {
	at     int // in all of the text
	size   int
	rule   *rule
	value  value
	blocks bool
	quick  bool // has been asked
	gone   bool // it lies further back than the window
}

// Stream begins a text in which what blocks names must not go on.
func (s *Scanner) Stream(blocks func(rule string, low bool) bool) *Stream {
	rules, err := s.load()
	known := blocks(DeniedFile, false) || blocks(ProviderKey, false)
	return &Stream{s: s, rules: rules, blocks: blocks, known: known, budget: *NewBudget(0), failed: err}
}

// maxFeed is how much of a piece is looked at in one go, in bytes.
const maxFeed = 64 << 10

// Feed takes the next piece. A large one is taken in parts, as each keyword of one
// waits for what follows.
func (st *Stream) Feed(piece string) {
	for ; len(piece) > maxFeed; piece = piece[maxFeed:] {
		st.feed(piece[:maxFeed])
	}
	st.feed(piece)
}

func (st *Stream) feed(piece string) {
	if st.failed != nil || piece == "" {
		return
	}
	st.budget.left += 200 * len(piece)
	if st.failed = st.budget.spend(100 + 10*len(piece)); st.failed != nil {
		return
	}
	before := st.base + len(st.text)
	st.buf.WriteString(piece)
	st.text = st.buf.String() // no copy
	st.state = st.rules.words.run(st.state, piece, func(end int, w word) bool {
		for _, i := range st.rules.byWord[w.id] {
			r := &st.rules.list[i]
			st.wait = append(st.wait, waiting{at: before + end - w.size, size: w.size, rule: r, blocks: st.blocks(r.ID, r.Low)})
		}
		return true
	})
	st.begin()
	st.look(false)
	st.forget()
}

// begin notes where known values may begin.
func (st *Stream) begin() {
	k := st.s.known
	k.mu.RLock()
	defer k.mu.RUnlock()
	for end := st.base + len(st.text); st.next+minKnown <= end; st.next++ {
		if len(k.values) == 0 {
			continue
		}
		for _, v := range k.begin(st.text, st.next-st.base) {
			st.wait = append(st.wait, waiting{at: st.next, value: v, blocks: st.blocks(v.about.rule, false)})
		}
	}
}

// look asks about everything that waits, and drops what is decided.
func (st *Stream) look(last bool) {
	v := view{st.text, st.base == 0, last}
	kept := st.wait[:0]
	for _, w := range st.wait {
		if !st.decided(v, &w) {
			kept = append(kept, w)
		}
	}
	st.wait = kept
}

// decided reports whether no more of the text can change what is found at w.
func (st *Stream) decided(v view, w *waiting) bool {
	p, end := w.at-st.base, len(v.text)
	if w.rule == nil {
		size := w.value.size
		if end-p < size {
			return v.last
		}
		st.spend(1000 + 5*size)
		if st.s.known.is(&w.value, v.text[p:p+size]) {
			a := w.value.about
			st.take(w, Finding{Rule: a.rule, Source: a.source, Via: a.via, From: p, To: p + size, id: a.id}, true)
		}
		return true
	}
	if !w.quick && (v.last || end-p > soon+w.size) {
		if w.quick = true; !w.rule.quick(v.text, p, w.size) {
			st.spend(quickCost)
			return true
		}
	}
	final := v.last || end-p >= w.rule.behind()
	if !final && (w.gone || !w.blocks || end-p < Window) {
		return false
	}
	w.gone = true
	v.last = v.last || !final // what is there must do, as it goes on
	cost := w.rule.at(v, p, func(m place) {
		st.s.finding(w.rule, v.text, m, func(f Finding) { st.take(w, f, final) })
	})
	st.spend(cost)
	return final
}

func (st *Stream) spend(n int) {
	if st.failed == nil {
		st.failed = st.budget.spend(n)
	}
}

func (st *Stream) take(w *waiting, f Finding, final bool) {
	f.From, f.To = f.From+st.base, f.To+st.base
	if w.blocks && st.stop == nil {
		f.Placeholder = st.s.placeholder(f.Rule, f.id)
		st.stop = &f
	}
	if final {
		st.found = append(st.found, f)
	}
}

// forget drops what nothing looks at any more.
func (st *Stream) forget() {
	keep := st.base + len(st.text) - Window
	for i := range st.wait {
		keep = min(keep, st.wait[i].at)
	}
	if cut := keep - around - lineAway - leadBytes - 1 - st.base; cut > max(4*Window, len(st.text)/2) {
		rest := st.text[cut:]
		st.buf = strings.Builder{}
		st.buf.WriteString(rest)
		st.text, st.base = st.buf.String(), st.base+cut
	}
}

// Held returns how many of the last bytes could yet be of a secret that blocks,
// at most Window. After a secret was found it is of no use.
func (st *Stream) Held() int {
	end := st.base + len(st.text)
	if st.failed != nil {
		return min(end, Window)
	}
	held := st.rules.words.seen(st.state)
	if st.known && st.s.known.any() {
		held = max(held, min(end, minKnown-1))
	}
	for i := range st.wait {
		w := &st.wait[i]
		if !w.blocks || end-w.at > Window {
			continue
		}
		from := w.at
		if w.rule != nil && !w.rule.anchored {
			from = max(0, w.at-w.rule.before)
		}
		held = max(held, end-from)
	}
	return min(held, Window)
}

// Blocked returns the first secret that blocks. An error says that the scan was
// given up, which must stop the text as well.
func (st *Stream) Blocked() (*Finding, error) { return st.stop, st.failed }

// End returns all that was found, in order.
func (st *Stream) End() ([]Finding, error) {
	if st.failed != nil {
		return nil, st.failed
	}
	st.look(true)
	return st.s.settle("", st.found), st.failed
}
