package host

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/vt"
)

// mark is what DECSC keeps.
type mark struct {
	x, y int
	pen  uv.Style
	sets [2]byte
	gl   int
}

// screen knows the state that a terminal is in after all that was fed to it:
// the cells by an emulator for each of the two screens, everything else by
// itself. It can say how to bring a terminal into that state.
type screen struct {
	w, h  int
	cells [2]*vt.Emulator // main, alternate
	alt   bool

	dec, ansi   map[int]bool // modes that differ from the default
	keypad      bool
	pen         uv.Style
	link        []byte // OSC 8 in force, or nil
	sets        [2]byte
	gl          int
	top, bottom int // margins, 1-based; 0: the whole screen
	left, right int
	shape       int // DECSCUSR
	kitty       [2][]int
	otherKeys   int
	title       []byte // as it was set, or nil
	saved       [2]*mark
	atEdge      bool // the cursor waits behind the last column
	moved       bool
}

func newScreen(w, h int) *screen {
	s := &screen{w: w, h: h, dec: map[int]bool{}, ansi: map[int]bool{}, sets: [2]byte{'B', 'B'}}
	s.cells[0] = s.emulator()
	return s
}

func (s *screen) emulator() *vt.Emulator {
	e := vt.NewEmulator(s.w, s.h)
	e.SetScrollbackSize(1)
	e.SetCallbacks(vt.Callbacks{CursorPosition: func(_, _ uv.Position) { s.moved = true }})
	go io.Copy(io.Discard, e) //nolint:errcheck // its answers are not wanted; ends when it is closed
	return e
}

func (s *screen) close() {
	for _, e := range s.cells {
		if e != nil {
			_ = e.Close()
		}
	}
}

func (s *screen) side() int {
	if s.alt {
		return 1
	}
	return 0
}

func (s *screen) front() *vt.Emulator { return s.cells[s.side()] }

func (s *screen) cursor() (x, y int) {
	p := s.front().CursorPosition()
	return p.X, p.Y
}

// write feeds the emulator in front. A hostile stream that breaks it costs the
// agent its picture, not the person the card.
func (s *screen) write(b []byte) {
	defer func() {
		if recover() != nil {
			_ = s.front().Close()
			s.cells[s.side()] = s.emulator()
		}
	}()
	s.front().Write(b) //nolint:errcheck // fails only when closed
}

// feed takes a passed token.
func (s *screen) feed(t token) {
	if t.class == text {
		s.print(t.raw)
		return
	}
	edge := s.atEdge
	s.moved = false
	s.apply(t)
	if s.atEdge = edge && !s.moved && stays(t); edge && !s.atEdge {
		s.write([]byte(s.moveTo(s.cursor()))) // the emulator is less strict here than terminals are
	}
}

// stays reports whether a token leaves the cursor alone, and so behind the last
// column if it was there.
func stays(t token) bool {
	switch t.class {
	case control:
		return t.final == 0x07 || t.final == 0x0e || t.final == 0x0f
	case escape:
		return t.inter != 0 || t.final != 'D' && t.final != 'M'
	case csi:
		return strings.IndexByte("mqghl", t.final) >= 0 || t.prefix != 0
	}
	return t.class == osc
}

// scrolledAway leaves out what cannot be on the screen any more after ts: plain
// lines with twice as many line ends behind them as there are rows. Their pen
// is kept. A flood of output thus costs little.
func (s *screen) scrolledAway(ts []token) []token {
	if s.top > 0 || s.left > 0 || s.on(6) || s.on(69) {
		return ts
	}
	lines, from := 0, 0
	for i := len(ts) - 1; i >= 0 && from == 0; i-- {
		t := ts[i]
		switch {
		case t.class == control && t.final == '\n':
			if lines++; lines > 2*s.h && i > 0 && ts[i-1].final == '\r' && ts[i-1].class == control {
				from = i
			}
		case t.class == text, t.class == control && t.final == '\r':
		case t.class == csi && t.final == 'm' && t.prefix == 0 && t.inter == 0:
		default:
			return ts
		}
	}
	for _, t := range ts[:from] {
		if t.class != text && t.class != control && !(t.class == csi && t.final == 'm' && t.prefix == 0 && t.inter == 0) {
			return ts
		}
	}
	for _, t := range ts[:from] {
		if t.class == csi {
			s.feed(t)
		}
	}
	return ts[from:]
}

// print writes text, the last character by itself so that it shows whether the
// cursor stayed behind the last column.
func (s *screen) print(b []byte) {
	r, n := utf8.DecodeLastRune(b)
	head, last := b[:len(b)-n], b[len(b)-n:]
	if r >= 0x300 && (r >= 0x1f000 || !unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S)) {
		head, last = b, nil // part of the character before it
	}
	if len(head) > 0 {
		s.write(head)
		s.atEdge = false
	}
	if len(last) > 0 {
		s.moved = false
		s.write(last)
		x, _ := s.cursor()
		s.atEdge = !s.moved && x == s.w-1 && !s.dec[-7]
	}
}

// apply keeps what the emulator does not tell, and feeds it what it knows.
func (s *screen) apply(t token) {
	switch t.class {
	case control:
		switch t.final {
		case 0x0e, 0x0f:
			s.gl = int(0x0f - t.final)
			s.write(s.active())
			return
		}
		s.write(t.raw)
	case escape:
		s.applyEscape(t)
	case csi:
		s.applyCSI(t)
	case osc:
		switch {
		case bytes.HasPrefix(t.data, []byte("8;")):
			s.link = nil
			if i := bytes.LastIndexByte(t.data, ';'); i+1 < len(t.data) {
				s.link = t.raw
			}
			s.write(t.raw)
		case len(t.data) > 1 && (t.data[0] == '0' || t.data[0] == '2') && t.data[1] == ';':
			s.title = t.raw
		}
	}
}

func (s *screen) applyEscape(t token) {
	switch {
	case t.inter == '(' || t.inter == ')':
		s.sets[t.inter-'('] = t.final
		s.write(s.active())
		return
	case t.final == '7':
		s.save()
		return
	case t.final == '8':
		s.restore()
		return
	case t.final == '=' || t.final == '>':
		s.keypad = t.final == '='
	case t.final == 'c':
		s.reset()
		return
	}
	s.write(t.raw)
}

func (s *screen) save() {
	x, y := s.cursor()
	s.saved[s.side()] = &mark{x: x, y: y, pen: s.pen, sets: s.sets, gl: s.gl}
}

func (s *screen) restore() {
	m := s.slot()
	s.pen, s.sets, s.gl = m.pen, m.sets, m.gl
	s.write([]byte(sgr(s.pen) + s.moveTo(m.x, m.y)))
	s.write(s.active())
}

// slot is what DECRC would restore now.
func (s *screen) slot() mark {
	if m := s.saved[s.side()]; m != nil {
		return *m
	}
	return mark{sets: [2]byte{'B', 'B'}}
}

// reset is RIS.
func (s *screen) reset() {
	s.close()
	kitty := s.kitty
	*s = *newScreen(s.w, s.h)
	s.kitty = kitty // it has a stack of its own in some terminals: popped at the end
}

func (s *screen) applyCSI(t token) {
	switch {
	case t.prefix == '?' && (t.final == 'h' || t.final == 'l'):
		for i := range t.params {
			s.setDEC(t.num(i, 0), t.final == 'h')
		}
	case t.prefix == 0 && (t.final == 'h' || t.final == 'l'):
		for i := range t.params {
			setMode(s.ansi, t.num(i, 0), t.final == 'h', false)
		}
		s.write(t.raw)
	case t.prefix == '>' && t.final == 'u':
		k := append(s.kitty[s.side()], t.num(0, 0))
		s.kitty[s.side()] = k[max(len(k)-32, 0):]
	case t.prefix == '<' && t.final == 'u':
		k := s.kitty[s.side()]
		s.kitty[s.side()] = k[:max(len(k)-max(t.num(0, 1), 1), 0)]
	case t.prefix == '=' && t.final == 'u':
		s.setKitty(t.num(0, 0), t.num(1, 1))
	case t.prefix == '>' && t.num(0, 4) == 4:
		s.otherKeys = 0
		if t.final == 'm' {
			s.otherKeys = t.num(1, 0)
		}
	case t.prefix != 0:
	case t.inter == ' ': // DECSCUSR
		s.shape = t.num(0, 0)
	case t.final == 'J' && t.num(0, 0) == 3: // the scrollback alone
	case t.final == 's' && !s.dec[69]:
		s.save()
	case t.final == 'u':
		s.restore()
	case t.final == 'r' || t.final == 's':
		s.setMargins(t)
	default:
		if t.final == 'm' {
			uv.ReadStyle(t.params, &s.pen)
		}
		s.write(t.raw)
	}
}

// setMargins keeps 0, 0 for the whole screen.
func (s *screen) setMargins(t token) {
	full, at := s.h, &[2]*int{&s.top, &s.bottom}
	if t.final == 's' {
		full, at = s.w, &[2]*int{&s.left, &s.right}
	}
	first, last := max(t.num(0, 1), 1), min(cmp.Or(t.num(1, 0), full), full)
	if first >= last {
		return
	}
	if first == 1 && last == full {
		first, last = 0, 0
	}
	*at[0], *at[1] = first, last
	s.write([]byte(s.region() + "\x1b[H"))
}

func (s *screen) setKitty(flags, how int) {
	k := s.kitty[s.side()]
	if len(k) == 0 {
		k = []int{0}
	}
	top := &k[len(k)-1]
	switch how {
	case 2:
		*top |= flags
	case 3:
		*top &^= flags
	default:
		*top = flags
	}
	s.kitty[s.side()] = k
}

// setMode keeps only what differs: a mode that is on by default is kept
// negated, so that an empty map is a fresh terminal.
func setMode(m map[int]bool, n int, on, byDefault bool) {
	key := n
	if byDefault {
		key = -n
	}
	if on != byDefault {
		m[key] = true
	} else {
		delete(m, key)
	}
}

func (s *screen) setDEC(n int, on bool) {
	switch n {
	case 47, 1047, 1049:
		s.switchTo(on, n)
		return
	case 1048:
		if on {
			s.save()
		} else {
			s.restore()
		}
		return
	case 25, 7:
		setMode(s.dec, n, on, true)
	default:
		setMode(s.dec, n, on, false)
	}
	if n == 69 && !on {
		s.left, s.right = 0, 0
	}
	if n == 2048 || n == 2026 {
		return
	}
	s.write([]byte(decSet(n, on)))
	if n == 6 {
		s.write([]byte("\x1b[H")) // as terminals do; this emulator does not
	}
}

// switchTo goes to the other screen as xterm does: the cursor stays where it
// was, the alternate screen starts empty, 1049 keeps the main screen's cursor.
func (s *screen) switchTo(alt bool, n int) {
	if alt && n == 1049 {
		s.save()
	}
	if alt != s.alt {
		x, y := s.cursor()
		if alt {
			if s.cells[1] != nil {
				_ = s.cells[1].Close()
			}
			s.cells[1] = s.emulator()
		}
		s.alt = alt
		s.write([]byte("\x1b[m\x1b]8;;\x1b\\" + s.behaviour() + s.moveTo(x, y) + sgr(s.pen) + string(s.link)))
		s.write(s.active())
	}
	if !alt && n == 1049 {
		s.restore()
	}
}

// resize gives both screens a new size; margins go back to the whole, as
// terminals do it.
func (s *screen) resize(w, h int) {
	if w == s.w && h == s.h || w < 1 || h < 1 {
		return
	}
	s.w, s.h, s.atEdge = w, h, false
	s.top, s.bottom, s.left, s.right = 0, 0, 0, 0
	for i, e := range s.cells {
		if e == nil {
			continue
		}
		func() {
			defer func() {
				if recover() != nil {
					s.cells[i] = s.emulator()
				}
			}()
			e.Resize(w, h)
		}()
	}
}

// active tells an emulator, which knows no shifts, the character set in use.
func (s *screen) active() []byte { return []byte{0x1b, '(', s.sets[s.gl]} }

// behaviour is how text flows: modes and margins. It moves the cursor.
func (s *screen) behaviour() string {
	var b strings.Builder
	for _, n := range []int{6, 7, 69} {
		b.WriteString(decSet(n, s.on(n)))
	}
	for _, n := range []int{4, 20} {
		c := 'l'
		if s.ansi[n] {
			c = 'h'
		}
		fmt.Fprintf(&b, "\x1b[%d%c", n, c)
	}
	b.WriteString(s.region())
	return b.String()
}

func (s *screen) region() string {
	out := "\x1b[r"
	if s.top > 0 {
		out = fmt.Sprintf("\x1b[%d;%dr", s.top, s.bottom)
	}
	if s.on(69) {
		out += fmt.Sprintf("\x1b[%d;%ds", max(s.left, 1), cmp.Or(s.right, s.w))
	}
	return out
}

func (s *screen) on(n int) bool {
	if n == 25 || n == 7 {
		return !s.dec[-n]
	}
	return s.dec[n]
}

func (s *screen) charsets() string {
	shift := "\x0f"
	if s.gl == 1 {
		shift = "\x0e"
	}
	return fmt.Sprintf("\x1b(%c\x1b)%c%s", s.sets[0], s.sets[1], shift)
}

// moveTo counts from the margins if origin mode is on, as the terminal will.
func (s *screen) moveTo(x, y int) string {
	if s.on(6) {
		y -= max(s.top, 1) - 1
		if s.on(69) {
			x -= max(s.left, 1) - 1
		}
	}
	return fmt.Sprintf("\x1b[%d;%dH", max(y, 0)+1, max(x, 0)+1)
}

func decSet(n int, on bool) string {
	if on {
		return fmt.Sprintf("\x1b[?%dh", n)
	}
	return fmt.Sprintf("\x1b[?%dl", n)
}

func sgr(p uv.Style) string { return "\x1b[m" + p.String() }

// modes lists the modes that differ from a fresh terminal's, in order.
func (s *screen) modes() []int {
	var ns []int
	for n := range s.dec {
		ns = append(ns, max(n, -n))
	}
	sort.Ints(ns)
	return slices.Compact(ns)
}
