package segment

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/mod/sumdb/tlog"
)

// State is what a reader knows after a frame: where it is, the last leaf, the
// tree.
type State struct {
	Header Header
	Offset int       // of the next frame
	Seq    uint64    // of the last record
	Prev   tlog.Hash // of its leaf
	Tree   Tree
	Note   tlog.Hash // SHA-256 of the last checkpoint in this segment, or zero
	Signed bool      // the last frame was a checkpoint
	Sealed bool      // the last frame was the seal
}

// Scan is a walk over the bytes of one segment.
type Scan struct {
	State
	b    []byte
	base int // offset of b in the file
	sum  hash.Hash
}

// NewScan reads the header of a segment.
func NewScan(b []byte) (*Scan, error) {
	h, n, err := ParseHeader(b)
	if err != nil {
		return nil, err
	}
	s := &Scan{b: b, sum: sha256.New(), State: State{Header: h, Offset: n, Seq: h.First - 1, Prev: h.Prev, Tree: h.Tree.Clone()}}
	return s, nil
}

// Feed replaces the bytes by a later reading of the same file from Offset on.
func (s *Scan) Feed(b []byte) { s.b, s.base = b, s.Offset }

// Next returns the next frame after checking its checksum, number, link and
// leading fields. ErrEnd says that only zeros may follow; see Rest.
func (s *Scan) Next() (Frame, error) {
	if s.Sealed {
		return Frame{}, ErrEnd
	}
	f, n, err := ParseFrame(s.b[s.Offset-s.base:])
	if err != nil {
		return Frame{}, err
	}
	if err := s.check(f); err != nil {
		return Frame{}, err
	}
	s.Offset += n
	s.Signed = f.Note
	if f.Note {
		s.Note = sha256.Sum256(f.Data)
		s.Sealed = f.Seal
		return f, nil
	}
	s.Seq = f.Seq
	s.leafHash(f.Data)
	s.Tree.Append(s.Prev)
	return f, nil
}

// leafHash is tlog.RecordHash (RFC 6962, section 2.1) into Prev, without the
// garbage.
func (s *Scan) leafHash(data []byte) {
	s.sum.Reset()
	s.sum.Write([]byte{0})
	s.sum.Write(data)
	s.sum.Sum(s.Prev[:0])
}

func (s *Scan) check(f Frame) error {
	want := s.Seq + 1
	if f.Note {
		want = s.Seq
	}
	if f.Seq != want {
		return fmt.Errorf("number %d stands where %d must", f.Seq, want)
	}
	if f.Prev != s.Prev {
		return errors.New("the link to the record before is wrong")
	}
	if f.Note {
		return s.checkNote(f.Data)
	}
	l, _, err := parseLeaf(f.Data)
	if err != nil {
		return err
	}
	if l.seq != f.Seq || l.epoch != s.Header.Epoch || l.prev != f.Prev {
		return errors.New("the record's own number, epoch or link is not its frame's")
	}
	return nil
}

// checkNote compares a checkpoint with the tree; signatures are the caller's.
func (s *Scan) checkNote(text []byte) error {
	c, err := ParseCheckpoint(text)
	if err != nil {
		return err
	}
	if c.Size != s.Tree.Size() || c.After != s.Note {
		return errors.New("the checkpoint does not follow the one before")
	}
	if c.Root != s.Tree.Root() {
		return errors.New("the checkpoint's root is not that of the records before it")
	}
	return nil
}

// Tail is the number of bytes after the last good frame, zeros included.
func (s *Scan) Tail() int { return len(s.b) - (s.Offset - s.base) }

// Rest returns what stands after the last good frame without the zeros at its
// end. It is empty for a whole segment.
func (s *Scan) Rest() []byte {
	rest := s.b[s.Offset-s.base:]
	for len(rest) >= 64 && allZero(rest[len(rest)-64:]) {
		rest = rest[:len(rest)-64]
	}
	for len(rest) > 0 && rest[len(rest)-1] == 0 {
		rest = rest[:len(rest)-1]
	}
	return rest
}

// Found is a checkpoint frame found in bytes that are no longer a chain.
type Found struct {
	Offset int
	Frame  Frame
}

// FindNotes looks for whole checkpoint frames at any offset. Recovery uses it:
// a second one after damage shows that the damage had once been flushed, so
// that it is no torn write.
func FindNotes(b []byte) []Found {
	var out []Found
	for i := 0; i+FrameHead <= len(b); {
		if b[i]&0x80 != 0 {
			if f, n, err := ParseFrame(b[i:]); err == nil && f.Note {
				out = append(out, Found{i, f})
				i += n
				continue
			}
		}
		i++
	}
	return out
}
