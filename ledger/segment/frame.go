package segment

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"golang.org/x/mod/sumdb/tlog"
)

// Sizes and limits of the format, in bytes.
const (
	FrameHead = 48       // len, crc32c, seq, prev
	MaxLeaf   = 16 << 10 // a leaf holds metadata and commitments only
	MaxNote   = 4 << 10  // a checkpoint with its signatures
	MaxSize   = 64 << 20 // of a whole segment
)

// The two high bits of a frame's length say what it holds; without either it
// is a leaf.
const (
	flagNote = 1 << 31 // a checkpoint: its seq is the tree's size, its prev the last leaf's hash
	flagSeal = 1 << 30 // with flagNote: the last frame of the segment
	lenMask  = flagSeal - 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Frame is one frame of a segment. Data aliases the buffer it was read from.
type Frame struct {
	Seq  uint64
	Prev tlog.Hash
	Note bool // Data is a signed checkpoint, not a leaf
	Seal bool // nothing may follow
	Data []byte
}

// The reasons why bytes are not a frame.
var (
	ErrEnd   = errors.New("no further frame")     // the length is zero, or no bytes are left
	ErrShort = errors.New("the frame is cut")     // the bytes end inside it
	ErrLen   = errors.New("impossible length")    // more than the format allows
	ErrCRC   = errors.New("checksum is wrong")    // the bytes are not those that were written
	ErrFlags = errors.New("impossible flags")     // a seal that is no checkpoint
	errEmpty = errors.New("a frame without data") // never written
)

// AppendFrame encodes f at the end of b.
func AppendFrame(b []byte, f Frame) []byte {
	n := uint32(len(f.Data))
	if f.Note {
		n |= flagNote
	}
	if f.Seal {
		n |= flagSeal
	}
	at := len(b)
	b = binary.BigEndian.AppendUint32(b, n)
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, f.Seq)
	b = append(b, f.Prev[:]...)
	b = append(b, f.Data...)
	binary.BigEndian.PutUint32(b[at+4:], frameCRC(b[at:]))
	return b
}

// frameCRC covers the whole frame but its own four bytes.
func frameCRC(frame []byte) uint32 {
	return crc32.Update(crc32.Checksum(frame[:4], castagnoli), castagnoli, frame[8:])
}

// ParseFrame reads the frame at the start of b and its size in bytes.
func ParseFrame(b []byte) (Frame, int, error) {
	if len(b) < FrameHead {
		if allZero(b) {
			return Frame{}, 0, ErrEnd
		}
		return Frame{}, 0, ErrShort
	}
	head := binary.BigEndian.Uint32(b)
	if head == 0 {
		return Frame{}, 0, ErrEnd
	}
	f := Frame{Note: head&flagNote != 0, Seal: head&flagSeal != 0}
	n := int(head & lenMask)
	limit := MaxLeaf
	if f.Note {
		limit = MaxNote
	}
	switch {
	case f.Seal && !f.Note:
		return Frame{}, 0, ErrFlags
	case n > limit:
		return Frame{}, 0, ErrLen
	case n == 0:
		return Frame{}, 0, errEmpty
	case FrameHead+n > len(b):
		return Frame{}, 0, ErrShort
	}
	size := FrameHead + n
	if binary.BigEndian.Uint32(b[4:]) != frameCRC(b[:size]) {
		return Frame{}, 0, ErrCRC
	}
	f.Seq = binary.BigEndian.Uint64(b[8:])
	f.Prev = tlog.Hash(b[16:48])
	f.Data = b[FrameHead:size:size]
	return f, size, nil
}

// allZero reports whether b has no byte but zeros.
func allZero(b []byte) bool {
	for len(b) >= 8 {
		if binary.NativeEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
