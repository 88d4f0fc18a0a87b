package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// magic begins every segment; the digit is the format's major version.
const magic = "countersign ledger 1\n"

// Header is the start of a segment: where it stands in the ledger, and the
// tree so far, so that a start needs only the last segment.
type Header struct {
	Epoch uint64    // counts the starts of the ledger process, from 1
	First uint64    // seq of the first record that will stand here, from 1
	Prev  tlog.Hash // hash of the leaf before it; zero for the first
	Tree  Tree      // of the First-1 records before it
}

// ErrVersion is returned for a segment of another major version.
var ErrVersion = errors.New("written by another version of the format")

// AppendHeader encodes h: magic, epoch, first, prev, count of frontier hashes,
// the hashes, crc32c over all of it.
func AppendHeader(b []byte, h Header) []byte {
	at := len(b)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint64(b, h.Epoch)
	b = binary.BigEndian.AppendUint64(b, h.First)
	b = append(b, h.Prev[:]...)
	b = append(b, byte(len(h.Tree.frontier)))
	for _, x := range h.Tree.frontier {
		b = append(b, x[:]...)
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
}

// ParseHeader reads a header and its size in bytes.
func ParseHeader(b []byte) (Header, int, error) {
	const fixed = len(magic) + 8 + 8 + tlog.HashSize + 1
	if len(b) < len(magic) || string(b[:len(magic)]) != magic {
		if strings.HasPrefix(string(b[:min(len(b), len(magic))]), magic[:len(magic)-2]) {
			return Header{}, 0, ErrVersion
		}
		return Header{}, 0, errors.New("this is not a segment of a ledger")
	}
	if len(b) < fixed {
		return Header{}, 0, ErrShort
	}
	n := int(b[fixed-1])
	size := fixed + n*tlog.HashSize + 4
	if n > 64 || len(b) < size {
		return Header{}, 0, ErrShort
	}
	if binary.BigEndian.Uint32(b[size-4:]) != crc32.Checksum(b[:size-4], castagnoli) {
		return Header{}, 0, ErrCRC
	}
	p := b[len(magic):]
	h := Header{Epoch: binary.BigEndian.Uint64(p), First: binary.BigEndian.Uint64(p[8:]), Prev: tlog.Hash(p[16:48])}
	if h.First == 0 || h.First > 1<<62 {
		return Header{}, 0, errors.New("impossible record number in the header")
	}
	h.Tree.size = h.First - 1
	for i := range n {
		h.Tree.frontier = append(h.Tree.frontier, tlog.Hash(b[fixed+i*tlog.HashSize:fixed+(i+1)*tlog.HashSize]))
	}
	if n != h.Tree.want() {
		return Header{}, 0, errors.New("the tree in the header has the wrong size")
	}
	return h, size, nil
}

// Name is the file name of the segment with this header. Names sort in the
// order of the ledger.
func Name(epoch, first uint64) string { return fmt.Sprintf("%08d-%016d.led", epoch, first) }

// ParseName reads a name made by Name.
func ParseName(s string) (epoch, first uint64, ok bool) {
	_, err := fmt.Sscanf(s, "%d-%d.led", &epoch, &first)
	return epoch, first, err == nil && Name(epoch, first) == s
}
