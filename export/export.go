// Package export hands the records of a ledger to a receiver elsewhere, a SIEM or
// an OpenTelemetry collector, in order and without loss.
//
// It promises that the cursor moves only after the receiver has said that it has
// a batch, so that after any interruption each record arrives at least once, and
// again with the same ids; that it goes on only in the ledger in which the cursor
// stands, and says so where that ledger has lost the record; that what a
// receiver refuses stops it in words and is not skipped; and that nothing goes
// out but the leaves, which hold no payload's plain text.
//
// It may dial the one receiver it is given and write the cursor's file. It must
// never open a payload, nor change a record.
package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	countersign "github.com/countersign/countersign"
)

// Sink is a receiver. Send returns nil only after the receiver has the batch.
type Sink interface {
	Send(ctx context.Context, batch []Line) error
}

// Line is one record: as it lies in the ledger, and decoded.
type Line struct {
	JSON []byte
	countersign.Record
}

// Options are what a run needs.
type Options struct {
	// Lines yields the ledger's records from the first on; where it waits for more,
	// it ends with its context.
	Lines iter.Seq2[[]byte, error]
	Sink  Sink
	// Cursor keeps where the receiver is; nil starts at the first record.
	Cursor *Cursor
	// Wants chooses records; nil: all.
	Wants func(countersign.Record) bool
	// Wait is how long an open batch waits for more.
	Wait time.Duration
	// Retry is told that the receiver does not take a batch now, and returns false
	// to give up; nil gives up at once.
	Retry func(ctx context.Context, tries int, after time.Duration, err error) bool
}

// A batch is sent when it has maxLines records or maxBytes of JSON.
const (
	maxLines = 512
	maxBytes = 1 << 20
)

// Run exports until the lines end. It returns how many records the receiver has
// taken. Where ctx has ended, what it could not bring to the receiver any more is
// no error: the cursor says where to go on.
func Run(ctx context.Context, o Options) (sent int, err error) {
	r := runner{Options: o}
	if r.Cursor == nil {
		r.Cursor = &Cursor{}
	}
	lines, stop := r.read()
	defer stop()
	for {
		select {
		case l, open := <-lines:
			switch {
			case !open && ctx.Err() != nil && r.Cursor.Seq > 0 && !r.found:
				return 0, nil // told to end on the way to the cursor's record: that says nothing of the ledger
			case !open:
				return r.sent, ended(ctx, r.flush(ctx))
			case l.err != nil:
				return r.sent, errors.Join(r.flush(ctx), l.err)
			}
			if err := r.add(ctx, l.line); err != nil {
				return r.sent, ended(ctx, err)
			}
		case <-r.due:
			if err := r.flush(ctx); err != nil {
				return r.sent, ended(ctx, err)
			}
		}
	}
}

// ended makes a receiver that is busy no error for who was told to end: the cursor
// stands before what is left.
func ended(ctx context.Context, err error) error {
	if busy := (*Busy)(nil); ctx.Err() != nil && errors.As(err, &busy) {
		return nil
	}
	return err
}

type runner struct {
	Options
	batch []Line
	last  Line // of the batch, wanted or not
	bytes int
	due   <-chan time.Time
	sent  int
	found bool // the cursor's record, in this ledger
}

type readLine struct {
	line Line
	err  error
}

// read reads beside the sending: a batch that waits for more must not wait for
// ever.
func (r *runner) read() (lines <-chan readLine, stop func()) {
	ch, done := make(chan readLine, maxLines), make(chan struct{})
	go func() {
		defer close(ch)
		for raw, err := range r.Lines {
			l := readLine{err: err}
			if err == nil {
				l.line.JSON = append([]byte(nil), raw...)
				if err := json.Unmarshal(raw, &l.line.Record); err != nil {
					l.err = fmt.Errorf("read record: %w", err)
				}
			}
			select {
			case ch <- l:
			case <-done:
				return
			}
		}
	}()
	return ch, func() { close(done) }
}

// add puts a record behind the cursor into the batch.
func (r *runner) add(ctx context.Context, l Line) error {
	switch {
	case l.Seq < r.Cursor.Seq:
		return nil
	case l.Seq == r.Cursor.Seq:
		r.found = true
		return r.Cursor.same(l)
	case r.Cursor.Seq > 0 && !r.found:
		return r.Cursor.lost()
	}
	r.last = l
	if r.Wants == nil || r.Wants(l.Record) {
		r.batch, r.bytes = append(r.batch, l), r.bytes+len(l.JSON)
	}
	if r.due == nil {
		r.due = time.After(r.Wait)
	}
	if len(r.batch) >= maxLines || r.bytes >= maxBytes {
		return r.flush(ctx)
	}
	return nil
}

// flush sends the batch, then moves the cursor.
func (r *runner) flush(ctx context.Context) error {
	r.due = nil
	if r.Cursor.Seq > 0 && !r.found {
		return r.Cursor.lost() // the ledger ends before the cursor
	}
	if r.last.Seq == 0 {
		return nil
	}
	if len(r.batch) > 0 {
		if err := r.send(ctx); err != nil {
			return err
		}
	}
	if err := r.Cursor.move(r.last); err != nil {
		return err
	}
	r.sent += len(r.batch)
	r.batch, r.last, r.bytes, r.found = nil, Line{}, 0, true
	return nil
}

func (r *runner) send(ctx context.Context) error {
	for tries := 1; ; tries++ {
		// A batch that has begun is brought to its end, so that the receiver and the
		// cursor agree.
		err := r.Sink.Send(context.WithoutCancel(ctx), r.batch)
		var busy *Busy
		if err == nil || !errors.As(err, &busy) || r.Retry == nil || !r.Retry(ctx, tries, busy.After, err) {
			return err
		}
	}
}

// Busy is the error of a receiver that may take the batch later.
type Busy struct {
	After time.Duration // it asked for, or 0
	Err   error
}

func (b *Busy) Error() string { return b.Err.Error() }

// Unwrap returns the receiver's error.
func (b *Busy) Unwrap() error { return b.Err }
