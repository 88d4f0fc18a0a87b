package book

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger/disk"
	"github.com/countersign/countersign/ledger/segment"
)

// Options say what a book needs from outside. FS, Now, Mono and Rand must be set.
type Options struct {
	FS   disk.FS
	Now  func() time.Time     // wall clock
	Mono func() time.Duration // a clock that nobody can set and that counts through sleep
	Rand io.Reader
	Node string // name of a new ledger's node; made up if empty
	Boot string // the machine's boot id
	// SegmentSize is where a segment ends, in bytes; 0 means segment.MaxSize.
	SegmentSize int64
	// Lag is how long a record that is not durable may wait for its flush; 0
	// means 50 ms, so that with the flush itself it stays below 100 ms.
	Lag time.Duration
	// Lost reports of a record's JSON whether something that it refers to beside the
	// segments is not there. It is asked by a start, of records whose flush may not
	// have returned. nil: nothing can be lost.
	Lost func(leaf []byte) (bool, error)
	// Copied returns what Beside.Copy has kept of a segment from a place on. It is
	// asked by a start, with the end of the last good frame of a segment that was not
	// closed. nil: nothing is kept.
	Copied func(epoch, first uint64, end int64) ([]byte, error)
}

// Beside is what records refer to, written beside the segments and before the
// records.
type Beside interface {
	Flush() error // returns after all that was written before is durable
	// Copy keeps bytes of the segment of an epoch that begins with record first, and
	// reports whether the next Flush makes them durable there. Copied finds them.
	Copy(epoch, first uint64, at int64, b []byte) (bool, error)
}

// Book is an open ledger. Its methods may be called concurrently.
type Book struct {
	o      Options
	signer note.Signer

	mu       sync.Mutex
	cond     sync.Cond
	clock    clock
	start    time.Duration // Mono at the opening
	epoch    uint64
	first    uint64 // seq of the segment's first record
	seq      uint64
	prev     tlog.Hash
	tree     segment.Tree
	lastNote tlog.Hash // of this segment

	file    disk.File
	beside  Beside // nil: nothing
	room    int64  // the file is zero-filled to here
	end     int64  // of what is written
	pending []byte // frames to be written at end
	leaf    []byte // scratch
	since   int64  // of what is written, where that begins which is neither flushed nor copied
	held    []byte // it, up to maxCopy
	spare   []byte // scratch
	loose   bool   // of what is durable some is only beside, as a copy
	newest  []byte // the newest signed checkpoint

	flushed     uint64        // records up to here are durable
	flushing    bool          // a leader is at the disk, without the lock
	flushFailed bool          // a flush has failed: the disk is not to be written again
	err         error         // set once: nothing is written any more
	shut        chan struct{} // closed when err is set
	uncopied    bool          // the segment's last checkpoint has no copy in checkpoints/ yet
	ending      bool          // the closing record is being written
	closed      bool

	kick chan struct{} // wakes the timer
	done chan struct{} // ends it
	idle sync.WaitGroup
}

// Append writes a record: body is the rest of its JSON object after the
// ledger's own fields. See the package comment for what a nil error means.
func (b *Book) Append(id string, body []byte, durable bool) (countersign.Receipt, error) {
	r, err := b.Put(id, body)
	switch {
	case err != nil:
		return countersign.Receipt{}, err
	case durable:
		return r, b.Commit(r.Seq)
	}
	return r, b.Write()
}

// Put is Append, but for the write: the record is in the file after the next Write
// or Commit, which several share.
func (b *Book) Put(id string, body []byte) (countersign.Receipt, error) {
	if err := check(id, body); err != nil {
		return countersign.Receipt{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.add(id, body)
}

// Write returns when all that was put is in the file.
func (b *Book) Write() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.write(); err != nil {
		return b.fail(err)
	}
	b.wake()
	return nil
}

// Entry is one record of AppendAll.
type Entry struct {
	ID   string
	Body []byte
}

// AppendAll writes records that nobody waits for, with one write. They have
// happened: one that cannot be written shuts the book.
func (b *Book) AppendAll(es []Entry) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range es {
		err := check(e.ID, e.Body)
		if err == nil && e.ID == "" {
			err = refused(errors.New("it has no id"))
		}
		if err == nil {
			_, err = b.add(e.ID, e.Body)
		}
		if err != nil {
			return b.fail(err)
		}
	}
	if err := b.write(); err != nil {
		return b.fail(err)
	}
	b.wake()
	return nil
}

// check refuses what cannot be a record; without an id it gets one.
func check(id string, body []byte) error {
	if err := checkBody(body); err != nil {
		return refused(err)
	}
	if id != "" && !GoodID(id) {
		return refused(errors.New("the record's id is malformed"))
	}
	return nil
}

// wake starts the timer.
func (b *Book) wake() {
	select {
	case b.kick <- struct{}{}:
	default: // it runs already
	}
}

// Newest returns the newest signed checkpoint.
func (b *Book) Newest() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]byte(nil), b.newest...)
}

// Epoch counts the starts, this one included.
func (b *Book) Epoch() uint64 { return b.epoch }

// Err says why nothing is written any more, or nil.
func (b *Book) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// Shut is closed when nothing is written any more, also if nobody asked: the
// timer's flush fails too.
func (b *Book) Shut() <-chan struct{} { return b.shut }

// refused is the error of a record that cannot be written as it is; the ledger
// goes on.
func refused(err error) error {
	return &countersign.Error{Code: countersign.EInvalid, Op: "append record", Err: err}
}

// add gives a record its place and appends its frame to pending.
func (b *Book) add(id string, body []byte) (countersign.Receipt, error) {
	if b.err != nil {
		return countersign.Receipt{}, b.err
	}
	wall, mono, step := b.clock.read()
	if step != 0 {
		body := fmt.Sprintf(`"type":"clock.stepped","actor":{"kind":"system","id":"ledger"},"detail":{"step_ns":%d}}`, step.Nanoseconds())
		if _, err := b.place("", []byte(body), wall, mono); err != nil {
			return countersign.Receipt{}, err
		}
	}
	return b.place(id, body, wall, mono)
}

func (b *Book) place(id string, body []byte, wall time.Time, mono time.Duration) (countersign.Receipt, error) {
	if id == "" {
		var err error
		if id, err = newID(b.o.Rand, wall); err != nil {
			return countersign.Receipt{}, b.fail(err)
		}
	}
	if err := b.makeRoom(len(body)); err != nil {
		return countersign.Receipt{}, err
	}
	b.leaf = segment.AppendLeaf(b.leaf[:0], segment.Leaf{
		ID: id, Node: b.signer.Name(), Epoch: b.epoch, Seq: b.seq + 1, Prev: b.prev,
		Wall: wall.UTC().Format(wallLayout), Mono: (mono - b.start).Nanoseconds(), Boot: b.o.Boot,
	}, body)
	if len(b.leaf) > segment.MaxLeaf {
		return countersign.Receipt{}, refused(fmt.Errorf("the record has %d bytes, more than %d: payloads belong in blobs", len(b.leaf), segment.MaxLeaf))
	}
	b.pending = segment.AppendFrame(b.pending, segment.Frame{Seq: b.seq + 1, Prev: b.prev, Data: b.leaf})
	b.seq++
	b.prev = tlog.RecordHash(b.leaf)
	b.tree.Append(b.prev)
	return countersign.Receipt{ID: id, Seq: b.seq}, nil
}

// checkpoint signs the tree as it is and appends the note to pending.
func (b *Book) checkpoint(seal bool) error {
	c := segment.Checkpoint{Origin: b.signer.Name(), Size: b.seq, Root: b.tree.Root(), After: b.lastNote}
	signed, err := signNote(b.signer, c)
	if err != nil {
		return err
	}
	b.pending = segment.AppendFrame(b.pending, segment.Frame{Seq: b.seq, Prev: b.prev, Note: true, Seal: seal, Data: signed})
	b.lastNote = hashNote(signed)
	b.newest = signed
	return nil
}

// write brings pending into the file.
func (b *Book) write() error {
	if b.err != nil {
		return b.err
	}
	if len(b.pending) == 0 {
		return nil
	}
	if _, err := b.file.WriteAt(b.pending, b.end); err != nil {
		return err
	}
	b.end += int64(len(b.pending))
	if b.end-b.since <= maxCopy {
		b.held = append(b.held, b.pending...)
	}
	b.pending = b.pending[:0]
	return nil
}

// commit returns when record seq is durable; whole is flush's. The first who waits
// flushes for all who have come meanwhile, without the lock; nobody is handed anything.
func (b *Book) commit(seq uint64, whole bool) error {
	for b.flushed < seq && b.err == nil {
		if b.flushing {
			b.cond.Wait()
			continue
		}
		upto, err := b.seq, b.checkpoint(false)
		if err == nil {
			err = b.write()
		}
		if err == nil {
			if err = b.flush(whole); err != nil {
				b.flushFailed = true
			}
		}
		if err != nil {
			_ = b.fail(err) // kept in b.err
			break
		}
		b.flushed = upto
		if b.loose {
			b.wake()
		}
	}
	if b.flushed >= seq {
		return nil
	}
	return b.err
}

// With has what stands beside flushed together with every record from now on.
func (b *Book) With(beside Beside) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.beside = beside
}

// flush makes what is written durable, and what stands beside it, without the lock:
// with one flush, of what stands beside and of a copy there, where there is any (and
// whole does not say that the segment itself is to be flushed).
func (b *Book) flush(whole bool) error {
	b.flushing = true
	f, beside, held := b.file, b.beside, b.held
	epoch, first, at := b.epoch, b.first, b.since
	whole = whole || beside == nil || b.end-at > maxCopy
	b.since, b.held, b.spare = b.end, b.spare[:0], nil
	b.mu.Unlock()
	copied, err := false, error(nil)
	if !whole {
		copied, err = beside.Copy(epoch, first, at, held)
	}
	if err == nil && !copied {
		err = f.Flush()
	}
	if err == nil && beside != nil {
		err = beside.Flush()
	}
	b.mu.Lock()
	b.flushing, b.loose = false, copied
	b.spare = held
	b.cond.Broadcast()
	return err
}

// maxCopy is how many bytes are written twice, to be flushed once.
const maxCopy = 64 << 10

// fasten flushes a segment of which something is durable only as a copy, so that a
// start has not far to look for copies.
func (b *Book) fasten() {
	b.settle()
	if !b.loose || b.err != nil {
		return
	}
	if err := b.flush(true); err != nil {
		b.flushFailed = true
		_ = b.fail(err) // kept in b.err
	}
}

// settle waits until no leader is at the disk.
func (b *Book) settle() {
	for b.flushing {
		b.cond.Wait()
	}
}

// timer flushes what nobody waits for.
func (b *Book) timer() {
	defer b.idle.Done()
	for {
		select {
		case <-b.done:
			return
		case <-b.kick:
		}
		select {
		case <-b.done:
			return
		case <-time.After(b.o.Lag):
		}
		b.mu.Lock()
		_ = b.commit(b.seq, true) // an error stays in b.err and meets the next append
		b.fasten()
		b.mu.Unlock()
	}
}

// Commit returns when record seq, and everything before it, is durable.
func (b *Book) Commit(seq uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.commit(seq, false)
}

// Flush makes everything appended so far durable.
func (b *Book) Flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.commit(b.seq, false)
}
