package payload

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"syscall"

	"github.com/countersign/countersign/ledger/disk"
)

// A copy is a frame of a pack with bytes of a segment in the place of a blob, so that
// one flush makes both durable, records and what they refer to. Its name is copyMark,
// the segment's epoch and first record, and the place of the bytes in its file, each
// u64 and big-endian; its content is the bytes and their CRC-32C.
const copyMark = "segment\n"

// Copy keeps bytes of a segment in the pack. It reports false, and has kept nothing,
// where the next Flush has nothing to flush, or the pack has no room.
func (s *Store) Copy(epoch, first uint64, at int64, b []byte) (bool, error) {
	return s.packs.copy(epoch, first, at, b)
}

func (p *packs) copy(epoch, first uint64, at int64, b []byte) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	size := len(b) + crc32.Size
	switch {
	case p.failed != nil:
		return false, p.failed
	case p.err != nil || p.file == nil || p.dirty == p.end || size < headSize || size > large || p.end+int64(frameHead+size) > p.size:
		return false, nil
	}
	c := sealed{frame: append(p.frame[:0], make([]byte, frameHead)...)}
	c.frame = append(c.frame, b...)
	c.frame = binary.BigEndian.AppendUint32(c.frame, crc32.Checksum(b, castagnoli))
	name := append(c.name[:0], copyMark...)
	for _, n := range []uint64{epoch, first, uint64(at)} {
		name = binary.BigEndian.AppendUint64(name, n)
	}
	c.putHead()
	p.frame = c.frame
	err := p.append(c.frame)
	if errors.Is(err, syscall.ENOSPC) {
		return false, nil // the segment has its room already
	}
	p.err = err
	return err == nil, err
}

// piece is what a copy keeps.
type piece struct {
	at int64
	b  []byte
}

// within is in how many packs without a copy one is looked for: a segment's own flush
// follows a copy much faster than so much is written.
const within = 4

// Copied returns a function that finds what packs keep of a segment from the end of
// its last good frame on: what a power cut may have taken from the segment.
func Copied(fs disk.FS) func(epoch, first uint64, end int64) ([]byte, error) {
	return func(epoch, first uint64, end int64) ([]byte, error) {
		names, err := packNames(fs)
		if err != nil {
			return nil, err
		}
		start := fmt.Sprintf("%08d-", epoch)
		names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(made(n), start) })
		var all []piece // in their order
		for i, without := len(names)-1, 0; i >= 0 && without < within && (len(all) == 0 || all[0].at > end); i-- {
			b, err := fs.ReadFile("blobs/" + names[i])
			if err != nil {
				return nil, fmt.Errorf("blobs/%s: %w", names[i], err)
			}
			own, others := pieces(b, epoch, first)
			if own == nil && others {
				break // of segments before it
			}
			if all = append(own, all...); own == nil {
				without++
			}
		}
		var out []byte
		for _, p := range all {
			if past := end + int64(len(out)) - p.at; past >= 0 && past < int64(len(p.b)) {
				out = append(out, p.b[past:]...)
			}
		}
		return out, nil
	}
}

// pieces are the copies of a segment in a pack, up to where a crash has torn it, and
// whether there are others'.
func pieces(pack []byte, epoch, first uint64) (out []piece, others bool) {
	rest, ok := bytes.CutPrefix(pack, []byte(packMagic))
	for ok {
		size, name, good := parseHead(rest)
		if !good || frameHead+size > len(rest) {
			break
		}
		b := rest[frameHead : frameHead+size]
		rest = rest[frameHead+size:]
		at, mine := bytes.CutPrefix(name[:], binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte(copyMark), epoch), first))
		if !mine {
			others = others || bytes.HasPrefix(name[:], []byte(copyMark))
			continue
		}
		b, sum := b[:size-crc32.Size], b[size-crc32.Size:]
		if crc32.Checksum(b, castagnoli) == binary.BigEndian.Uint32(sum) {
			out = append(out, piece{int64(binary.BigEndian.Uint64(at)), bytes.Clone(b)}) // without the pack
		}
	}
	return out, others
}
