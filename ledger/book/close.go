package book

import (
	"errors"
	"fmt"
	"syscall"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger/disk"
	"github.com/countersign/countersign/ledger/segment"
)

// Room kept in every segment behind what is written, so that a disk that fills
// up can still be told goodbye: a closing record and its seal.
const closeRoom = 4 << 10

// ReserveFile is given back when the disk is full; where the file system
// writes nothing in place the closing record needs it.
const (
	ReserveFile = "reserve"
	reserveSize = 64 << 10
)

// makeRoom sees to it that a record with this body, a checkpoint and the
// closing of the segment fit, in a new segment if need be.
func (b *Book) makeRoom(body int) error {
	if body > segment.MaxLeaf {
		return refused(fmt.Errorf("the record has more than %d bytes: payloads belong in blobs", segment.MaxLeaf))
	}
	for {
		if b.err != nil {
			return b.err
		}
		need := b.end + int64(len(b.pending)+body) + 2<<10 + closeRoom
		switch {
		case need > b.o.SegmentSize && b.seq >= b.first && !b.ending:
			if err := b.rotate(); err != nil {
				return b.fail(err)
			}
		case need <= b.room || b.ending:
			return nil
		default:
			if err := b.extend(need); err != nil {
				return b.fail(err)
			}
		}
	}
}

// extend zero-fills the file ahead of what is written, so that a commit changes
// no size and a changed byte in the tail shows.
func (b *Book) extend(need int64) error {
	room, err := disk.Extend(b.file, b.room, need, b.o.SegmentSize)
	b.room = room
	return err
}

// rotate seals the segment and starts the next.
func (b *Book) rotate() error {
	full := b.file
	b.settle()
	if b.err != nil || b.file != full {
		return b.err // another one has rotated meanwhile, or the book is shut
	}
	if err := b.seal(); err != nil {
		return err
	}
	return b.begin()
}

// seal ends the segment: the last checkpoint, nothing after it, and a copy of
// the checkpoint beside.
func (b *Book) seal() error {
	had, before := len(b.pending), b.lastNote
	if err := b.putSeal(); err != nil {
		b.pending, b.lastNote = b.pending[:min(had, len(b.pending))], before // goodbye seals in its turn
		return err
	}
	b.flushed = b.seq
	b.cond.Broadcast()
	f := b.file
	b.file = nil
	b.uncopied = true
	if err := f.Close(); err != nil {
		return err
	}
	return b.copySeal()
}

// putSeal flushes first what records refer to: what a sealed segment refers to is
// there.
func (b *Book) putSeal() error {
	if b.beside != nil {
		if err := b.beside.Flush(); err != nil {
			b.flushFailed = true
			return err
		}
	}
	if err := b.checkpoint(true); err != nil {
		return err
	}
	if err := b.file.Truncate(b.end + int64(len(b.pending))); err != nil {
		return err
	}
	if err := b.write(); err != nil {
		return err
	}
	err := b.file.Flush()
	b.flushFailed = err != nil
	return err
}

// copySeal writes the copy of the newest checkpoint, which ends a segment.
func (b *Book) copySeal() error {
	err := disk.WriteFile(b.o.FS, fmt.Sprintf("checkpoints/%016d", b.seq), b.newest)
	b.uncopied = err != nil
	return err
}

// fail shuts the book for good and returns why. A full disk is told in the
// ledger; after any other error nothing is written, because nothing is known of
// what a second write or flush would do.
func (b *Book) fail(err error) error {
	if b.err != nil {
		return b.err
	}
	if errors.Is(err, syscall.ENOSPC) && !b.flushFailed {
		if b.settle(); b.err != nil {
			return b.err // another one was here meanwhile
		}
		b.goodbye("enospc")
	}
	b.err = &countersign.Error{
		Code: countersign.EClosed, Op: "write", Thing: "ledger", Err: err,
		Remedy: "see to the disk, then start again: the next start checks what is on it and records what it found",
	}
	close(b.shut)
	b.cond.Broadcast()
	return b.err
}

// Fail shuts the book as a failed write of its own does: for what must be durable
// beside it.
func (b *Book) Fail(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fail(err)
}

// goodbye writes the closing record in the room kept for it, or, between two
// segments, in the room that the reserve gives back. What goes wrong here is for
// the next start to find: the segment then has no seal.
func (b *Book) goodbye(reason string) {
	if f, err := b.o.FS.Open(ReserveFile); err == nil {
		_ = f.Truncate(0)
		_ = f.Close()
	}
	if b.uncopied && b.copySeal() != nil {
		return
	}
	if b.file == nil {
		b.ending = true
		if b.begin() != nil {
			return
		}
	}
	if b.closing(reason) == nil {
		_ = b.seal()
	}
}

// closing places the record that says why the ledger ends.
func (b *Book) closing(reason string) error {
	wall, mono, _ := b.clock.read()
	b.ending = true // the room for this record has been kept
	_, err := b.place("", fmt.Appendf(nil, `"type":"ledger.closed","actor":{"kind":"system","id":"ledger"},"detail":{"reason":%q}}`, reason), wall, mono)
	return err
}

// Close writes the closing record, seals the segment and shuts the book.
func (b *Book) Close(reason string) error {
	b.mu.Lock()
	b.settle()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	err := b.err
	if err == nil {
		if err = b.closing(reason); err == nil {
			err = b.seal()
		}
		_ = b.fail(errors.New("it is closed")) // kept: nothing is written after the seal
	}
	if b.file != nil {
		_ = b.file.Close() // the error that shut the book is the one to tell
	}
	b.mu.Unlock()
	close(b.done)
	b.idle.Wait()
	return err
}
