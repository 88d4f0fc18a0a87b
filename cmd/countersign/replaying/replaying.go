// Package replaying puts together, from the record, what one session's terminal
// showed and what was decided meanwhile, for `countersign replay`. It reads the
// ledger and writes nothing but to the streams it is handed.
package replaying

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/tui/cast"
	"github.com/countersign/countersign/tui/host"
	"github.com/countersign/countersign/tui/replay"
)

// Tape is what the record has of one session's terminal.
type Tape struct {
	session string
	started time.Time
	whole   []byte
	parts   int
	missing []error // parts that cannot be read
	records []countersign.Record
}

// Load reads a session's parts and everything that was decided in it.
func Load(a *base.App, id string) (*Tape, error) {
	none := func(why string) error {
		return &countersign.Error{Code: countersign.ENotFound, Op: "replay session", Thing: id, Err: errors.New(why), Remedy: "a session without a terminal records none; `countersign log --session " + id + "` shows what it did"}
	}
	r, err := ledger.OpenReader(a.LedgerDir())
	if errors.Is(err, os.ErrNotExist) {
		return nil, none("there is no ledger yet")
	}
	if err != nil {
		return nil, err
	}
	t := &Tape{}
	for line, err := range r.All() {
		if err != nil {
			return nil, err
		}
		if !bytes.Contains(line, []byte(`"session":"`+id)) {
			continue
		}
		var rec countersign.Record
		if err := json.Unmarshal(line, &rec); err != nil {
			return nil, fmt.Errorf("read record: %w", err)
		}
		switch {
		case !strings.HasPrefix(rec.Session, id) || t.session == id && rec.Session != id:
			continue
		case rec.Session == id && t.session != id: // named in full
			t = &Tape{session: id}
		case t.session == "":
			t.session = rec.Session
		case t.session != rec.Session:
			return nil, base.Usage(fmt.Errorf("more than one session begins with %s", id))
		}
		t.collect(a.LedgerDir(), rec)
	}
	switch {
	case t.session == "":
		return nil, none("no such session is on record")
	case t.parts == 0:
		return nil, none("its terminal was not recorded")
	case len(t.whole) == 0:
		return nil, t.missing[0]
	}
	return t, nil
}

// collect takes one record of the session.
func (t *Tape) collect(dir string, rec countersign.Record) {
	if rec.Type != "terminal.recorded" {
		t.records = append(t.records, rec)
		return
	}
	t.parts++
	n, _ := rec.Detail["part"].(float64)
	if int(n) != t.parts {
		t.missing = append(t.missing, fmt.Errorf("part %d is not on record", t.parts))
		t.parts = int(n)
	}
	if s, ok := rec.Detail["started"].(string); ok && t.started.IsZero() {
		t.started, _ = time.Parse(time.RFC3339Nano, s)
	}
	for _, p := range rec.Payloads {
		if p.Role != base.Terminal {
			continue
		}
		b, err := ledger.OpenBlob(dir, p)
		if err != nil {
			t.missing = append(t.missing, err)
			continue
		}
		if len(t.whole) > 0 || n == 1 { // without the header nothing can be read
			t.whole = append(t.whole, b...)
		}
	}
}

// Dump writes the recording as it lies in the ledger, whole or not at all.
func (t *Tape) Dump(a *base.App) error {
	if len(t.missing) > 0 {
		return t.missing[0]
	}
	_, err := a.Out.Write(t.whole)
	return err
}

// Show plays it on the person's terminal; where there is none, it lists what was
// decided.
func (t *Tape) Show(ctx context.Context, a *base.App, o replay.Options) error {
	for _, err := range t.missing {
		a.Say("a part of the recording is missing: %v", err)
	}
	var err error
	if o.Header, o.Events, err = cast.Parse(t.whole); err != nil {
		return &countersign.Error{Code: countersign.EVerify, Op: "replay session", Thing: t.session, Err: err}
	}
	o.Notes, o.Now, o.In = t.notes(), a.Now, a.In
	o.Screen = func(w, h int) replay.Screen { return host.NewPicture(w, h) }
	if out, ok := a.Out.(*os.File); ok && term.IsTerminal(int(out.Fd())) {
		o.Out = out
		return replay.Run(ctx, o)
	}
	return replay.List(a.Out, o)
}

// notes are the cards and decisions of the session, by the time of its recording.
func (t *Tape) notes() []replay.Note {
	var out []replay.Note
	for _, r := range t.records {
		when, err := time.Parse(time.RFC3339Nano, r.T.Wall)
		d := r.Decision
		if err != nil || d == nil || d.Basis == countersign.ByCover {
			continue
		}
		at := when.Sub(t.started)
		what := r.Type
		if r.Action != nil && r.Action.Summary != "" {
			what = r.Action.Summary
		}
		if d.Basis == countersign.ByPerson && d.ShownMS > 0 && r.Type != "grant.given" {
			out = append(out, replay.Note{At: at - time.Duration(d.ShownMS)*time.Millisecond, Card: true, Text: what})
		}
		out = append(out, replay.Note{At: at, Text: decided(r, what)})
	}
	return out
}

// decided is a decision as one line.
func decided(r countersign.Record, what string) string {
	d := r.Decision
	by := string(d.Basis)
	if d.By != "" {
		by += " " + d.By
	}
	if d.Scope != "" && d.Scope != countersign.ScopeOnce {
		by += ", " + string(d.Scope)
	}
	if r.Policy != nil && r.Policy.Rule != "" {
		by += ", rule " + r.Policy.Rule
	}
	verdict := string(d.Verdict)
	if r.Type == "grant.given" {
		verdict = "grant" // the command itself is decided beside it, and had the card
	}
	return fmt.Sprintf("%s: %s (%s)", verdict, what, by)
}
