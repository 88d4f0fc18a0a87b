package book

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger/disk"
	"github.com/countersign/countersign/ledger/segment"
)

// Open opens the ledger in o.FS for writing, or makes it. It checks the last
// segment against its checkpoints, sets aside what a crash left torn, begins a
// new segment and records in it what it found. The caller holds the lock that
// keeps a second writer out.
func Open(o Options) (*Book, error) {
	if o.SegmentSize == 0 {
		o.SegmentSize = segment.MaxSize
	}
	if o.Lag == 0 {
		o.Lag = 50 * time.Millisecond
	}
	for _, d := range []string{"segments", "checkpoints", "blobs", "key", "torn"} {
		if err := o.FS.Mkdir(d); err != nil {
			return nil, err
		}
	}
	b := &Book{o: o, clock: newClock(o.Now, o.Mono), start: o.Mono(), shut: make(chan struct{}), kick: make(chan struct{}, 1), done: make(chan struct{})}
	b.cond = sync.Cond{L: &b.mu}
	names, err := segments(o.FS)
	if err != nil {
		return nil, err
	}
	var verifier note.Verifier
	if b.signer, verifier, err = keys(o, len(names) == 0); err != nil {
		return nil, err
	}
	var found []finding
	if len(names) == 0 {
		if kept, err := newestKept(o.FS, verifier); err != nil || kept.Size > 0 {
			return nil, changed("", 0, fmt.Errorf("a checkpoint of %d records is kept here, and no segment (%v)", kept.Size, err))
		}
	} else {
		if found, err = b.recoverAll(names, verifier); err != nil {
			return nil, err
		}
	}
	if err := b.reserve(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.epoch++
	if err := b.begin(); err != nil {
		return nil, err
	}
	if err := b.opening(found); err != nil {
		return nil, err
	}
	b.idle.Add(1)
	go b.timer()
	return b, nil
}

// segments lists the segments, oldest first.
func segments(fs disk.FS) ([]string, error) {
	all, err := fs.List("segments")
	var names []string
	for _, n := range all {
		if strings.HasSuffix(n, ".new") {
			continue // a start that a crash ended before the segment was one
		}
		if _, _, ok := segment.ParseName(n); !ok {
			return nil, fmt.Errorf("segments/%s is not a file of the ledger", n)
		}
		names = append(names, n)
	}
	return names, err
}

// begin makes the next segment; it appears under its name with header and
// zeros on the disk.
func (b *Book) begin() error {
	name := "segments/" + segment.Name(b.epoch, b.seq+1)
	tmp := name + ".new"
	if err := b.o.FS.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := b.o.FS.Create(tmp)
	if err != nil {
		return err
	}
	h := segment.AppendHeader(nil, segment.Header{Epoch: b.epoch, First: b.seq + 1, Prev: b.prev, Tree: b.tree})
	if _, err = f.WriteAt(h, 0); err == nil {
		err = disk.Zero(f, int64(len(h)), b.step())
	}
	if err == nil {
		err = f.Flush()
		b.flushFailed = err != nil
	}
	if err == nil {
		err = b.o.FS.Rename(tmp, name)
	}
	if err == nil {
		err = b.o.FS.SyncDir("segments")
	}
	if err != nil {
		_ = f.Close()
		_ = b.o.FS.Remove(tmp) // gives back its room; a left one is ignored
		return err
	}
	b.file, b.first, b.end, b.room, b.lastNote = f, b.seq+1, int64(len(h)), b.step(), tlog.Hash{}
	b.since, b.held, b.loose = b.end, b.held[:0], false
	return nil
}

// step is how far a new segment is zero-filled.
func (b *Book) step() int64 {
	if b.ending {
		return closeRoom
	}
	return min(disk.FirstStep, b.o.SegmentSize)
}

// reserve makes the file that a full disk gives back.
func (b *Book) reserve() error {
	var zeros [reserveSize]byte
	if have, err := b.o.FS.ReadFile(ReserveFile); err == nil && len(have) == reserveSize {
		return nil
	}
	return disk.WriteFile(b.o.FS, ReserveFile, zeros[:])
}

// opening writes the first record of this start: opened, or recovered.
func (b *Book) opening(found []finding) error {
	typ, detail := "ledger.opened", map[string]any{}
	if n := len(found); n > 0 && !(n == 1 && found[0].sealed) {
		typ, detail = "ledger.recovered", found[n-1].detail()
		var later []map[string]any
		for _, f := range found[:n-1] {
			later = append(later, f.detail())
		}
		if later != nil {
			detail["later"] = later
		}
	}
	detail["key"] = fmt.Sprintf("%s+%08x", b.signer.Name(), b.signer.KeyHash())
	body, err := json.Marshal(map[string]any{"actor": countersign.Actor{Kind: "system", ID: "ledger"}, "detail": detail, "type": typ})
	if err != nil {
		return err
	}
	if _, err := b.add("", body[1:]); err != nil {
		return err
	}
	b.kick <- struct{}{} // for the timer; what a crash before it loses, the next start finds again
	return b.write()
}

func hexSum(p []byte) string {
	s := sha256.Sum256(p)
	return hex.EncodeToString(s[:])
}

func hashNote(p []byte) tlog.Hash { return sha256.Sum256(p) }

func signNote(s note.Signer, c segment.Checkpoint) ([]byte, error) {
	return note.Sign(&note.Note{Text: c.Text()}, s)
}
