//go:build unix

package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"
	"github.com/muesli/cancelreader"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

const (
	// maxHeld bounds what an agent writes behind a card and is shown in order
	// afterwards, in bytes; beyond it the picture is drawn from the emulator.
	maxHeld = 4 << 20
	// maxUnfed bounds how far the emulator may lag behind, in bytes.
	maxUnfed = 256 << 10
	// escTime is how long an Escape waits for the rest of a sequence.
	escTime = 50 * time.Millisecond
	// drainTime is how long a host waits for an ended agent's last words.
	drainTime = 100 * time.Millisecond
)

// loop is one run of a host; a single goroutine owns it.
type loop struct {
	Options
	screen *screen
	scan   scanner
	keys   keys
	over   *overlay
	told   map[string]bool // requests the person was called for
	feed   chan []byte     // to the agent
	unsent [][]byte
	out    []byte
	// unfed is what the terminal has and the emulator has not yet.
	unfed    []token
	unfedLen int
	last     []byte // the last character printed
	tty      io.Writer
	err      error // of writing to it
	cooked   *term.State
	sig      chan os.Signal
	// stopBy is until when an agent that was typed a Ctrl-Z may stop itself.
	stopBy time.Time
	// raw is set if it reads that key itself; calm is how often since then its
	// terminal was seen as a shell wants it.
	raw  bool
	calm int
	// resumed is set between the end of a suspension and its SIGCONT's arrival.
	resumed bool
}

func run(ctx context.Context, o Options) (err error) {
	cooked, err := term.MakeRaw(int(o.In.Fd()))
	if err != nil {
		return fmt.Errorf("take the terminal: %w", err)
	}
	w, h := size(o.Out)
	l := &loop{Options: o, tty: o.Out, screen: newScreen(w, h), cooked: cooked, told: map[string]bool{}, feed: make(chan []byte)}
	defer l.screen.close()
	defer l.giveBack()
	if o.Tape != nil {
		o.Tape.Resize(w, h)
	}
	if o.Row > 0 && o.Col > 0 {
		at := fmt.Appendf(nil, "\x1b[%d;%dH", o.Row, o.Col)
		l.screen.write(at)
		if o.Tape != nil {
			o.Tape.Control(at, false)
		}
	}
	if len(o.Early) > 0 {
		l.unsent = append(l.unsent, o.Early)
	}
	if err := l.setSize(w, h); err != nil {
		return err
	}
	in, err := cancelreader.NewReader(o.In)
	if err != nil {
		return fmt.Errorf("read the terminal: %w", err)
	}
	master, err := cancelreader.NewReader(o.Master)
	if err != nil {
		return fmt.Errorf("read the agent's terminal: %w", err)
	}
	done := make(chan struct{})
	typed, agent := pump(in, done), pump(master, done)
	go l.feedMaster(done)
	defer func() {
		close(done)
		in.Cancel()
		master.Cancel()
		for range typed { // until its reader is gone: no key of the shell's may be eaten
		}
		for range agent {
		}
		_ = in.Close()
		_ = master.Close()
	}()
	return l.serve(ctx, typed, agent)
}

// pump reads until an error or done; then it closes its channel.
func pump(r cancelreader.CancelReader, done <-chan struct{}) <-chan []byte {
	c := make(chan []byte, 1)
	go func() {
		defer close(c)
		for {
			buf := make([]byte, 32<<10)
			n, err := r.Read(buf)
			if n > 0 {
				select {
				case c <- buf[:n]:
				case <-done:
					return
				}
			}
			if err != nil && !errors.Is(err, syscall.EINTR) && !errors.Is(err, syscall.EAGAIN) || n == 0 && err == nil {
				return
			}
		}
	}()
	return c
}

func (l *loop) feedMaster(done <-chan struct{}) {
	for {
		select {
		case b := <-l.feed:
			if _, err := l.Master.Write(b); err != nil {
				return
			}
		case <-done:
			return
		}
	}
}

func (l *loop) serve(ctx context.Context, typed, agent <-chan []byte) error {
	l.sig = make(chan os.Signal, 16)
	signal.Notify(l.sig, syscall.SIGWINCH, syscall.SIGTSTP, syscall.SIGCONT, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(l.sig)
	tick := time.NewTimer(time.Hour)
	defer tick.Stop()
	var drained <-chan time.Time
	ended := ctx.Done()
	for l.err == nil {
		l.look()
		var next []byte
		var feed chan<- []byte
		from := typed
		if len(l.unsent) > 0 {
			next, feed = l.unsent[0], l.feed
			if len(l.unsent) > 64 {
				from = nil // the agent does not read: neither do we
			}
		}
		l.arm(tick)
		if len(agent) == 0 { // nothing more at the moment
			l.sync()
		}
		select {
		case b, ok := <-agent:
			if !ok {
				return nil
			}
			l.output(b)
			if drained != nil {
				drained = time.After(drainTime)
			}
		case b, ok := <-from:
			if !ok {
				return &Ended{syscall.SIGHUP}
			}
			l.input(b)
		case feed <- next:
			l.unsent = l.unsent[1:]
		case <-l.Changed:
		case <-tick.C:
			l.checkStopped()
			l.press(l.keys.lone())
			l.draw()
		case <-l.Stopped:
			l.suspend()
		case s := <-l.sig:
			if s == syscall.SIGHUP || s == syscall.SIGTERM || s == syscall.SIGINT {
				return &Ended{s}
			}
			l.signal(s)
		case <-ended:
			ended, drained = nil, time.After(drainTime)
		case <-drained:
			return nil
		}
	}
	return l.err
}

func (l *loop) signal(s os.Signal) {
	switch {
	case s == syscall.SIGTSTP:
		l.suspend()
	case s == syscall.SIGCONT && l.resumed:
		l.resumed = false
	case s == syscall.SIGCONT: // stopped by SIGSTOP: somebody else had the terminal
		l.resume()
	default:
		l.setSize(size(l.Out)) //nolint:errcheck // the agent's end may be gone
	}
}

// arm sets the timer for what the card changes by itself.
func (l *loop) arm(t *time.Timer) {
	d := time.Hour
	if l.over != nil {
		if l.over.early { // the moment may have passed since it was drawn
			d = max(l.over.state.ArmedAt().Sub(l.Now()), 0) + time.Millisecond
		}
		if len(l.keys.buf) > 0 {
			d = min(d, escTime)
		}
	}
	if !l.stopBy.IsZero() {
		d = min(d, escTime)
	}
	t.Reset(d)
}

func (l *loop) write(s string) {
	if len(s) > 0 && l.err == nil {
		_, l.err = io.WriteString(l.tty, s)
	}
}

// output takes what the agent wrote. The terminal comes first, the emulator when
// there is time.
func (l *loop) output(p []byte) {
	l.out = l.out[:0]
	l.scan.scan(p, l.token)
	switch {
	case l.over == nil:
		l.write(string(l.out))
		if l.unfedLen > maxUnfed {
			l.sync()
		}
	case !l.over.live:
		l.over.held = append(l.over.held, l.out...)
		if len(l.over.held) > maxHeld {
			l.over.held, l.over.live = nil, true
		}
	}
}

// sync brings the emulator up to date: before anybody looks at it.
func (l *loop) sync() {
	for _, t := range l.screen.scrolledAway(l.unfed) {
		l.screen.feed(t)
	}
	l.unfed, l.unfedLen = l.unfed[:0], 0
}

func (l *loop) token(t token) {
	v := judge(&t)
	switch {
	case v == drop, t.class == control && t.final == 0x07 && l.over != nil:
	case v == query && l.over != nil:
		l.reply(t)
	case v == query:
		l.out = append(l.out, t.raw...)
	case t.class == csi && t.final == 'p' && t.inter == '!':
		// DECSTR, spelt out so that every terminal and the emulator do the same.
		var inner scanner
		inner.scan([]byte("\x1b7\x1b[?6l\x1b[r\x1b8\x1b[?25h\x1b[4l\x1b[?1l\x1b>\x1b[m"+plainCharsets), l.token)
	case t.class == csi && t.final == 'b':
		// REP, written out: after a card the terminal's last character is ours.
		if n := min(max(t.num(0, 1), 1), l.screen.w*l.screen.h); len(l.last) > 0 {
			l.token(token{class: text, raw: bytes.Repeat(l.last, n)})
		}
	default:
		if t.class == text {
			_, n := utf8.DecodeLastRune(t.raw)
			l.last = append(l.last[:0], t.raw[len(t.raw)-n:]...)
		}
		l.out = append(l.out, t.raw...)
		l.record(t)
		if l.over != nil {
			l.screen.feed(t)
			l.over.alt = l.over.alt && l.screen.alt
			return
		}
		l.unfed, l.unfedLen = append(l.unfed, t), l.unfedLen+len(t.raw)
	}
}

// record tells the tape what passed.
func (l *loop) record(t token) {
	switch {
	case l.Tape == nil:
	case t.class == text:
		l.Tape.Text(t.raw)
	default:
		l.Tape.Control(t.raw, stays(t))
	}
}

func (l *loop) send(b []byte) {
	if len(b) > 0 {
		l.unsent = append(l.unsent, b)
	}
}

// input takes what the person typed.
func (l *loop) input(p []byte) {
	if l.over == nil {
		l.send(l.ctrlZ(p))
		return
	}
	l.press(l.keys.feed(p))
}

func (l *loop) setSize(w, h int) error {
	if w < 1 || h < 1 {
		return nil
	}
	err := pty.Setsize(l.Master, &pty.Winsize{Rows: uint16(h), Cols: uint16(w)}) //nolint:gosec // a terminal's size is 16 bits
	if w == l.screen.w && h == l.screen.h {
		return err
	}
	l.sync()
	l.screen.resize(w, h)
	if l.Tape != nil {
		l.Tape.Resize(w, h)
	}
	if l.over != nil {
		l.over.live, l.over.held = true, nil
		l.write("\x1b[2J")
		l.draw()
	}
	return err
}

// giveBack leaves the terminal as a shell wants it, also while panicking.
func (l *loop) giveBack() {
	l.leave()
	if l.Guard != nil {
		l.Guard.Write([]byte("ok\n")) //nolint:errcheck // the guard may be gone
	}
}

func (l *loop) leave() {
	l.sync()
	l.err = nil
	if o := l.over; o != nil {
		l.lower()
	}
	l.write(l.screen.sane())
	term.Restore(int(l.In.Fd()), l.cooked) //nolint:errcheck // there is no other way
}

// suspend stops this job as Ctrl-Z would, and takes the terminal again when it
// is continued. A session leader has no shell that could continue it, and goes
// on. The Go runtime keeps its SIGTSTP handler once there was one, so this
// process stops itself by SIGSTOP; the rest of the job gets SIGTSTP.
func (l *loop) suspend() {
	if pgid, err := syscall.Getpgid(0); err != nil || pgid == session() {
		return
	}
	l.leave()
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGCONT)
	signal.Ignore(syscall.SIGTSTP)
	syscall.Kill(0, syscall.SIGTSTP)                //nolint:errcheck // they may be gone
	syscall.Kill(syscall.Getpid(), syscall.SIGSTOP) //nolint:errcheck // it cannot fail for oneself
	<-again
	signal.Stop(again)
	signal.Notify(l.sig, syscall.SIGTSTP)
	l.resumed = true // the loop's own copy of SIGCONT is still to come
	l.resume()
}

// session returns the session's id, 0 if unknown.
func session() int {
	sid, _ := unix.Getsid(0)
	return sid
}

// resume takes the terminal from the shell. What the shell has written is
// scrolled away, not drawn over.
func (l *loop) resume() {
	if _, err := term.MakeRaw(int(l.In.Fd())); err != nil {
		l.err = err
		return
	}
	l.over = nil
	l.setSize(size(l.Out)) //nolint:errcheck // the agent's end may be gone
	l.write(fmt.Sprintf("\x1b[%d;1H%s", l.screen.h, strings.Repeat("\n", l.screen.h)))
	l.write(l.screen.redraw(false) + l.screen.keyStack())
	if l.Continue != nil {
		l.Continue()
	}
}

// size returns the terminal's, or a common one if it has none.
func size(f *os.File) (w, h int) {
	if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
		return w, h
	}
	return 80, 24
}
