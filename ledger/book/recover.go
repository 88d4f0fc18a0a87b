package book

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"golang.org/x/mod/sumdb/note"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger/disk"
	"github.com/countersign/countersign/ledger/segment"
)

// finding is what a start found at the end of a segment.
type finding struct {
	sealed   bool // it was closed in good order
	empty    bool // it has no record
	segment  string
	offset   int
	torn     []byte   // what stood after the last good frame
	kept     string   // where it is kept
	restored int      // bytes that came back from a copy beside
	lost     []uint64 // records that refer to what is not there
	missing  []uint64 // the same, where no power cut can have taken it
}

// maxLost bounds the records that a finding lists.
const maxLost = 500

// recoverAll mends the last segment, and before it those that a start made and
// did not live to write into: what it had found would be told by nobody else.
func (b *Book) recoverAll(names []string, v note.Verifier) ([]finding, error) {
	var out []finding
	epoch := uint64(0)
	upto := uint64(math.MaxUint64) // a newer segment goes on there
	for i := len(names) - 1; i >= 0; i-- {
		f, err := b.recover(names[i], v, upto)
		if err != nil {
			return nil, err
		}
		epoch = max(epoch, b.epoch)
		out = append(out, f)
		if !f.empty {
			break
		}
		upto = b.seq
	}
	b.epoch = epoch
	return out, nil
}

// detail is what the record of the recovery says of a finding.
func (f finding) detail() map[string]any {
	d := map[string]any{"segment": f.segment, "offset": f.offset, "torn_bytes": len(f.torn), "sha256": "sha256:" + hexSum(f.torn)}
	if len(f.torn) > 0 {
		d["kept"] = f.kept
	}
	if f.restored > 0 {
		d["restored_bytes"] = f.restored
	}
	for name, seqs := range map[string][]uint64{"lost_payloads": f.lost, "missing_payloads": f.missing} {
		if n := len(seqs); n > 0 {
			d[name] = seqs[:min(n, maxLost)]
			if n > maxLost {
				d[name+"_more"] = n - maxLost
			}
		}
	}
	return d
}

// recover reads the last segment, takes over its state and mends its end. A
// segment that contradicts what was signed is not mended: that is no crash.
func (b *Book) recover(name string, v note.Verifier, upto uint64) (finding, error) {
	f, err := b.o.FS.Open("segments/" + name)
	if err != nil {
		return finding{}, err
	}
	defer f.Close()
	data, err := readAll(f)
	var back restored
	if err == nil {
		back, err = b.restore(data, upto)
	}
	if err != nil {
		return finding{}, err
	}
	sc, err := segment.NewScan(back.whole)
	if err != nil {
		return finding{}, changed(name, 0, err)
	}
	last, tail, stop, err := b.walk(sc, v)
	if err != nil {
		return finding{}, changed(name, sc.Offset, err)
	}
	if last != nil {
		if _, err := note.Open(last, note.VerifierList(v)); err != nil {
			return finding{}, changed(name, sc.Offset, errors.New("the last checkpoint's signature is not good"))
		}
		b.newest = last
	}
	rest := sc.Rest()
	if err := torn(sc, rest, stop, v); err != nil {
		return finding{}, changed(name, sc.Offset, err)
	}
	b.epoch, b.seq, b.prev, b.tree, b.flushed = sc.Header.Epoch, sc.Seq, sc.Prev, sc.Tree.Clone(), sc.Seq
	out := finding{empty: sc.Seq < sc.Header.First, sealed: sc.Sealed && sc.Tail() == 0 && len(back.b) == 0, segment: name, offset: sc.Offset, torn: rest, restored: len(back.b)}
	if back.over != nil {
		out.torn = back.over
	}
	if !out.sealed {
		if out.lost, out.missing, err = b.lost(tail); err != nil {
			return finding{}, err
		}
		out, err = b.mend(f, out, back)
	}
	if err == nil && sc.Sealed {
		_, err = b.o.FS.ReadFile(fmt.Sprintf("checkpoints/%016d", b.seq))
		if errors.Is(err, os.ErrNotExist) { // a crash came right after the seal, or before its flush
			if err = f.Flush(); err == nil {
				err = b.copySeal()
			}
		}
	}
	return out, err
}

func readAll(f disk.File) ([]byte, error) {
	n, err := f.Size()
	if err != nil {
		return nil, err
	}
	data := make([]byte, n)
	if _, err := f.ReadAt(data, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data, nil
}

// walk scans to the last good frame and compares with the newest checkpoint
// kept beside. It returns the last checkpoint of the segment, the records behind
// the last but one, and why the scan stopped.
func (b *Book) walk(sc *segment.Scan, v note.Verifier) (last []byte, tail []segment.Frame, stop, err error) {
	kept, err := newestKept(b.o.FS, v)
	if err != nil {
		return nil, nil, nil, err
	}
	before := 0 // the last checkpoint
	for {
		if kept.Size == sc.Tree.Size() && kept.Size > 0 && kept.Root != sc.Tree.Root() {
			return nil, nil, nil, errors.New("the records are not those of the kept checkpoint")
		}
		f, err := sc.Next()
		if err != nil {
			stop = err
			break
		}
		if f.Note {
			last = f.Data
			tail = tail[before:]
			before = len(tail)
			continue
		}
		tail = append(tail, f)
	}
	switch {
	case kept.Size > sc.Tree.Size():
		return nil, nil, nil, fmt.Errorf("a kept checkpoint has %d records, here are %d: the end is cut or an old copy was put back", kept.Size, sc.Tree.Size())
	case kept.Size == sc.Tree.Size() && kept.Size >= sc.Header.First && !sc.Sealed:
		return nil, nil, nil, errors.New("the segment was sealed and has lost its seal")
	}
	return last, tail, stop, nil
}

// lost returns the records of a tail that refer to what is not there. A batch's
// checkpoint is written only after the flush of the one before has returned, of
// what stands beside too: so nothing in front of the last but one can be lost.
// What the same start of the machine has written is not lost at all: the kernel
// keeps it, whoever dies. There a disk has failed, or it was taken away.
func (b *Book) lost(tail []segment.Frame) (seqs, missing []uint64, err error) {
	if b.o.Lost == nil {
		return nil, nil, nil
	}
	for _, f := range tail {
		gone, err := b.o.Lost(f.Data)
		if err != nil {
			return nil, nil, fmt.Errorf("look for what record %d refers to: %w", f.Seq, err)
		}
		leaf, _, err := segment.ParseLeaf(f.Data)
		switch {
		case !gone:
		case err == nil && leaf.Boot != "" && leaf.Boot == b.o.Boot:
			missing = append(missing, f.Seq)
		default:
			seqs = append(seqs, f.Seq)
		}
	}
	return seqs, missing, nil
}

// newestKept is the newest checkpoint in checkpoints/, or a zero one.
func newestKept(fs disk.FS, v note.Verifier) (segment.Checkpoint, error) {
	names, err := fs.List("checkpoints")
	if err != nil {
		return segment.Checkpoint{}, err
	}
	for i := len(names) - 1; i >= 0; i-- {
		if names[i][0] == '.' {
			continue // written by a start that a crash ended
		}
		raw, err := fs.ReadFile("checkpoints/" + names[i])
		if err != nil {
			return segment.Checkpoint{}, err
		}
		n, err := note.Open(raw, note.VerifierList(v))
		if err != nil {
			return segment.Checkpoint{}, fmt.Errorf("checkpoints/%s: %w", names[i], err)
		}
		return segment.ParseCheckpoint([]byte(n.Text))
	}
	return segment.Checkpoint{}, nil
}

// torn decides whether the end can be the work of a crash. A batch is written
// only after the flush of the one before, and each ends with a checkpoint: two
// of them after the damage show that the damaged bytes had been on the disk.
func torn(sc *segment.Scan, rest []byte, stop error, v note.Verifier) error {
	if len(rest) == 0 {
		return nil
	}
	if sc.Sealed {
		return errors.New("something stands after the seal")
	}
	signed := 0
	for _, n := range segment.FindNotes(rest) {
		if _, err := note.Open(n.Frame.Data, note.VerifierList(v)); err == nil {
			signed++
		}
	}
	if signed >= 2 {
		return fmt.Errorf("changed after it had been flushed: %w", stop)
	}
	return nil
}

// mend keeps the torn bytes aside, writes what comes back and cuts the segment after
// its last good frame. All is done again harmlessly if a crash comes between.
func (b *Book) mend(f disk.File, out finding, back restored) (finding, error) {
	out.kept = fmt.Sprintf("torn/%s.%d", out.segment, out.offset)
	if len(out.torn) > 0 {
		if err := disk.WriteFile(b.o.FS, out.kept, out.torn); err != nil {
			return finding{}, err
		}
	} else if kept, err := b.o.FS.ReadFile(out.kept); err == nil {
		out.torn = kept // a start before this one came so far and no further
	} else if !errors.Is(err, os.ErrNotExist) {
		return finding{}, err
	}
	if _, err := f.WriteAt(back.b, int64(back.at)); err != nil {
		return finding{}, err
	}
	if err := f.Truncate(int64(out.offset)); err != nil {
		return finding{}, err
	}
	return out, f.Flush()
}

// changed is the error for a ledger that is not what this ledger wrote.
func changed(name string, offset int, err error) error {
	return &countersign.Error{
		Code: countersign.EVerify, Op: "open ledger", Thing: fmt.Sprintf("segments/%s at byte %d", name, offset), Err: err,
		Remedy: "run countersign verify; keep the directory as it is for whoever looks into it, and move it away to begin a new ledger",
	}
}
