package replay

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/term"
)

// frameTime is how often a picture is drawn anew.
const frameTime = 33 * time.Millisecond

// Run plays until q is pressed or ctx is done; where no keys can come, until the
// end.
func Run(ctx context.Context, o Options) error {
	p := newPlayer(o)
	defer func() { p.screen.Close() }()
	typed, back, err := listen(ctx, o)
	if err != nil {
		return err
	}
	defer back()
	if _, err := o.Out.WriteString("\x1b[?1049h\x1b[2J\x1b[?7l"); err != nil {
		return err
	}
	defer o.Out.WriteString("\x1b[m\x1b[?7h\x1b[?25h\x1b[?1049l") //nolint:errcheck // it may be gone
	tick := time.NewTicker(frameTime)
	defer tick.Stop()
	for was := o.Now(); ; {
		if err := p.draw(); err != nil {
			return err
		}
		if typed == nil && p.ended() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b, ok := <-typed:
			if !ok {
				return nil
			}
			for _, k := range keys(b) {
				if p.press(k) {
					return nil
				}
				if err := p.draw(); err != nil {
					return err
				}
			}
		case <-tick.C:
			now := o.Now()
			p.pass(now.Sub(was))
			was = now
		}
	}
}

// pass lets time go by.
func (p *player) pass(d time.Duration) {
	if !p.paused && d > 0 {
		p.seek(p.pos + time.Duration(float64(d)*p.Speed))
	}
}

// draw shows the frame, if it is another one.
func (p *player) draw() error {
	w, h, err := term.GetSize(int(p.Out.Fd()))
	if err != nil || w < 1 || h < 1 {
		w, h = 80, 24
	}
	next := p.frame(w, h)
	if next == p.drawn {
		return nil
	}
	p.drawn = next
	if _, err := p.Out.WriteString(next); err != nil {
		return fmt.Errorf("draw the recording: %w", err)
	}
	return nil
}

// listen takes the keys of a terminal; nil where there is none.
func listen(ctx context.Context, o Options) (<-chan []byte, func(), error) {
	if o.In == nil || !term.IsTerminal(int(o.In.Fd())) {
		return nil, func() {}, nil
	}
	cooked, err := term.MakeRaw(int(o.In.Fd()))
	if err != nil {
		return nil, nil, fmt.Errorf("take the terminal: %w", err)
	}
	typed := make(chan []byte)
	go func() {
		defer close(typed)
		for {
			buf := make([]byte, 64)
			n, err := o.In.Read(buf)
			if err != nil || n == 0 {
				return
			}
			select {
			case typed <- buf[:n]:
			case <-ctx.Done():
				return
			}
		}
	}()
	return typed, func() { term.Restore(int(o.In.Fd()), cooked) }, nil //nolint:errcheck // there is no other way
}
