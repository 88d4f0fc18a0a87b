package payload

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"sync"

	"github.com/countersign/countersign/ledger/disk"
)

// A pack is packMagic, then frames, then zeros as far as it is filled ahead. A
// frame is u32 length of the blob, u32 CRC-32C of length and name, the blob's
// name, the blob; big-endian.
const (
	packMagic = "countersign pack 1\n"
	frameHead = 4 + 4 + sha256.Size
	packSize  = 64 << 20
	// dropStep is how much is flushed before the system is told that nobody reads it
	// soon. The same memory then serves for what comes: other memory is slower, above all
	// in a virtual machine, whose host has to find it first.
	dropStep = 256 << 10
)

// putHead fills the room in front of a blob.
func (s *sealed) putHead() {
	binary.BigEndian.PutUint32(s.frame, uint32(len(s.blob())))
	copy(s.frame[8:], s.name[:])
	binary.BigEndian.PutUint32(s.frame[4:], headSum(s.frame))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func headSum(head []byte) uint32 {
	return crc32.Update(crc32.Checksum(head[:4], castagnoli), castagnoli, head[8:frameHead])
}

// parseHead returns the length and name of the blob behind a head.
func parseHead(head []byte) (size int, name [sha256.Size]byte, ok bool) {
	if len(head) < frameHead || binary.BigEndian.Uint32(head[4:]) != headSum(head) {
		return 0, name, false
	}
	copy(name[:], head[8:])
	size = int(binary.BigEndian.Uint32(head))
	return size, name, size >= headSize && size <= large
}

// packs writes blobs into packs. They are durable after the next flush, which
// whoever waits at the same time shares.
type packs struct {
	fs    disk.FS
	epoch uint64
	size  int64

	mu       sync.Mutex
	cond     sync.Cond
	flushing bool  // somebody is at the disk, without the lock
	err      error // set once: nothing is written any more
	failed   error // of a flush: none is tried again

	n         int    // packs made
	kek       string // of the pack's blobs
	name      string
	file      disk.File
	fresh     bool // its name is not durable yet
	end, room int64
	dirty     int64  // where what is not flushed begins; end: nowhere
	frame     []byte // of a copy
}

// write writes blobs, and says of each where it is.
func (p *packs) write(kek string, blobs []*sealed, at []*string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, b := range blobs {
		b.putHead()
		err := p.turn(kek, int64(len(b.frame)))
		if err == nil {
			err = p.append(b.frame)
		}
		if err != nil {
			p.err = cmp.Or(p.err, err)
			return err
		}
		*at[i] = fmt.Sprintf("%s:%d", p.name, p.end-int64(len(b.frame)))
	}
	return nil
}

// append writes at the end of the pack.
func (p *packs) append(b []byte) error {
	end := p.end + int64(len(b))
	err := p.extend(end)
	if err == nil {
		_, err = p.file.WriteAt(b, p.end)
	}
	if err == nil {
		p.end = end
	}
	return err
}

// turn sees to it that there is a pack for so many bytes under this key. While it
// flushes, others may come in between.
func (p *packs) turn(kek string, size int64) error {
	for {
		fits := p.file != nil && p.kek == kek && p.end+size <= p.size
		switch {
		case p.err != nil:
			return p.err
		case fits:
			return nil
		case p.flushing:
			p.cond.Wait()
		case p.dirty < p.end:
			if err := p.flush(); err != nil {
				return err
			}
		default:
			if err := p.next(kek); err != nil {
				return err
			}
		}
	}
}

// sync returns when all that was written before is durable.
func (p *packs) sync() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.flushing {
		p.cond.Wait()
	}
	return p.flush()
}

// flush flushes the pack without the lock, which the caller holds.
func (p *packs) flush() error {
	if p.failed != nil || p.dirty == p.end {
		return p.failed
	}
	f, fresh, end := p.file, p.fresh, p.end
	from, to := p.dirty-p.dirty%dropStep, end-end%dropStep
	p.flushing = true
	p.mu.Unlock()
	err := f.Flush()
	if err == nil && fresh {
		err = p.fs.SyncDir("blobs")
	}
	if err == nil && from < to {
		f.Drop(from, to)
	}
	p.mu.Lock()
	p.flushing = false
	p.cond.Broadcast()
	if err != nil {
		p.failed, p.err = err, cmp.Or(p.err, err)
		return err
	}
	p.fresh, p.dirty = false, end
	return nil
}

// next begins a pack; the one before is flushed.
func (p *packs) next(kek string) error {
	if err := p.leave(); err != nil {
		return err
	}
	p.n++
	name := fmt.Sprintf("%s.%08d-%06d.pack", flat(kek), p.epoch, p.n)
	f, err := p.fs.Create("blobs/" + name)
	if err != nil {
		return err
	}
	p.file, p.name, p.kek, p.fresh, p.end, p.dirty, p.room = f, name, kek, true, 0, 0, 0
	return p.append([]byte(packMagic))
}

// extend zero-fills the pack ahead of what is written.
func (p *packs) extend(need int64) error {
	room, err := disk.Extend(p.file, p.room, need, p.size)
	p.room = room
	return err
}

// leave ends the pack; zeros that a crash leaves behind it the next start takes
// away.
func (p *packs) leave() error {
	if p.file == nil {
		return nil
	}
	f, end := p.file, p.end
	p.file, p.end, p.dirty = nil, 0, 0
	if err := f.Truncate(end); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

func (p *packs) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.flushing {
		p.cond.Wait()
	}
	if p.err != nil {
		return nil // nothing is written after a failure, no length either
	}
	p.err = errors.New("it is closed") // first: nothing comes in while it flushes
	if err := p.flush(); err != nil {
		return err
	}
	return p.leave()
}

// packNames lists the packs, oldest first.
func packNames(fs disk.FS) ([]string, error) {
	names, err := fs.List("blobs")
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(made(n), ".pack") })
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(made(a), made(b)) })
	return names, err
}

// made is the part of a pack's name that says when it was made: EPOCH-N.pack.
func made(name string) string {
	_, made, _ := strings.Cut(name, ".")
	return made
}

// trimLast takes the zeros from the end of the pack that was written last: a
// process that was killed could not.
func trimLast(fs disk.FS) error {
	names, err := packNames(fs)
	if err != nil || len(names) == 0 {
		return err
	}
	last := names[len(names)-1]
	if err := trim(fs, "blobs/"+last); err != nil {
		return fmt.Errorf("%s: %w", last, err)
	}
	return nil
}

// trim cuts a pack behind its last good frame and its last byte that is not zero.
// What a crash has torn stays: a record that points at it has been told as one
// whose payload is lost.
func trim(fs disk.FS, name string) error {
	f, err := fs.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil || size == 0 {
		return err
	}
	var end [1]byte
	if _, err := f.ReadAt(end[:], size-1); err != nil || end[0] != 0 {
		return err
	}
	b, err := fs.ReadFile(name)
	if err != nil {
		return err
	}
	if kept := lastByte(b); int64(kept) < size {
		return f.Truncate(int64(kept))
	}
	return nil
}

// lastByte is where the content of a pack ends.
func lastByte(b []byte) int {
	end := min(len(packMagic), len(b))
	for {
		n, _, ok := parseHead(b[end:])
		if !ok || end+frameHead+n > len(b) {
			break
		}
		end += frameHead + n
	}
	for i := len(b); i > end; i-- {
		if b[i-1] != 0 {
			end = i
		}
	}
	return end
}
