package payload

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
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
)

// putHead fills the room in front of a blob.
func (s *sealed) putHead() {
	binary.BigEndian.PutUint32(s.frame, uint32(len(s.blob())))
	copy(s.frame[8:], s.name[:])
	binary.BigEndian.PutUint32(s.frame[4:], headSum(s.frame))
}

func headSum(head []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(head[:4], table), table, head[8:frameHead])
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

// packs writes blobs into packs, one batch after the other: the first who comes
// writes and flushes for all who have come meanwhile.
type packs struct {
	fs    disk.FS
	epoch uint64
	size  int64

	mu      sync.Mutex
	cond    sync.Cond
	waiting []*waiter
	busy    bool  // a leader is at the disk, without the lock
	err     error // set once: nothing is written any more

	// Of the leader.
	n         int    // packs made
	kek       string // of the pack's blobs
	name      string
	file      disk.File
	fresh     bool // its name is not durable yet
	end, room int64
	buf       []byte
}

type waiter struct {
	kek  string
	blob *sealed
	at   *string // set before it is done
	done bool
}

// put returns when blobs are durable, and has said of each where it is.
func (p *packs) put(ws []*waiter) error {
	if len(ws) == 0 {
		return nil
	}
	last := ws[len(ws)-1]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = append(p.waiting, ws...)
	for !last.done && p.err == nil {
		if p.busy {
			p.cond.Wait()
			continue
		}
		batch := p.waiting
		p.waiting, p.busy = nil, true
		p.mu.Unlock()
		err := p.write(batch)
		p.mu.Lock()
		p.busy = false
		for _, x := range batch {
			x.done = err == nil
		}
		if err != nil {
			p.err = err
		}
		p.cond.Broadcast()
	}
	if !last.done {
		return p.err
	}
	return nil
}

// write makes a batch durable: with one flush, unless a pack ends in it.
func (p *packs) write(batch []*waiter) error {
	for _, w := range batch {
		w.blob.putHead()
		size := int64(len(w.blob.frame))
		if p.file == nil || p.kek != w.kek || p.end+int64(len(p.buf))+size > p.size {
			if err := p.flush(); err != nil {
				return err
			}
			if err := p.next(w.kek); err != nil {
				return err
			}
		}
		*w.at = fmt.Sprintf("%s:%d", p.name, p.end+int64(len(p.buf)))
		p.buf = append(p.buf, w.blob.frame...)
	}
	return p.flush()
}

// flush brings what is collected to the disk.
func (p *packs) flush() error {
	if len(p.buf) == 0 {
		return nil
	}
	if err := p.extend(p.end + int64(len(p.buf))); err != nil {
		return err
	}
	if _, err := p.file.WriteAt(p.buf, p.end); err != nil {
		return err
	}
	if err := p.file.Flush(); err != nil {
		return err
	}
	if p.fresh {
		if err := p.fs.SyncDir("blobs"); err != nil {
			return err
		}
	}
	p.fresh = false
	p.end += int64(len(p.buf))
	if p.buf = p.buf[:0]; cap(p.buf) > disk.MaxStep {
		p.buf = nil
	}
	return nil
}

// next begins a pack.
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
	p.file, p.name, p.kek, p.fresh, p.end, p.room = f, name, kek, true, 0, 0
	p.buf = append(p.buf[:0], packMagic...)
	return nil
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
	f := p.file
	p.file = nil
	if err := f.Truncate(p.end); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

func (p *packs) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.busy {
		p.cond.Wait()
	}
	if p.err != nil {
		return nil // nothing is written after a failure, no length either
	}
	p.err = errors.New("it is closed")
	return p.leave()
}

// trimLast takes the zeros from the end of the pack that was written last: a
// process that was killed could not.
func trimLast(fs disk.FS) error {
	names, err := fs.List("blobs")
	if err != nil {
		return err
	}
	last, of := "", ""
	for _, n := range names {
		if _, made, ok := strings.Cut(n, "."); ok && strings.HasSuffix(made, ".pack") && made > of {
			last, of = n, made // EPOCH-N
		}
	}
	if last == "" {
		return nil
	}
	if err := trim(fs, "blobs/"+last); err != nil {
		return fmt.Errorf("%s: %w", last, err)
	}
	return nil
}

// trim cuts a pack behind its last good frame and its last byte that is not zero.
// What a crash has torn stays: no record points at it.
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
