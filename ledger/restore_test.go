package ledger_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	mrand "math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/ledger/book"
	"github.com/countersign/countersign/ledger/payload"
	"github.com/countersign/countersign/ledger/powercut"
)

// opened opens what is left.
func opened(t *testing.T, fs *powercut.FS, boot string) (*book.Book, *payload.Store) {
	t.Helper()
	b, s, err := pair(fs, boot, 1<<20, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return b, s
}

// closedAndSound ends a ledger, verifies it and returns its directory and its records.
func closedAndSound(t *testing.T, fs *powercut.FS, b *book.Book) (string, []countersign.Record) {
	t.Helper()
	if err := b.Close("test"); err != nil {
		t.Fatal(err)
	}
	dir := shm(t)
	if err := fs.Dump(dir); err != nil {
		t.Fatal(err)
	}
	sound(t, dir, ledger.VerifyOptions{})
	return dir, lines(t, dir)
}

// failing makes one kind of operation fail on files with an ending.
func failing(fs *powercut.FS, what, ending string, err error) {
	fs.Fail = func(op, name string, _ int) error {
		if op == what && strings.HasSuffix(name, ending) {
			return err
		}
		return nil
	}
}

// promised puts records that are waited for, and returns their ids.
func promised(t *testing.T, b *book.Book, s *payload.Store, n int) map[string]bool {
	t.Helper()
	ids := map[string]bool{}
	for i := range n {
		r, err := put(b, s, i, true)
		if err != nil {
			t.Fatal(err)
		}
		ids[r.ID] = true
	}
	return ids
}

// A segment whose own flush fails after the copy's has a record that was promised: the
// next start has it, although the machine ran on.
func TestACopyStandsInForASegmentThatCannotBeFlushed(t *testing.T) {
	fs := powercut.New()
	b, s, err := pairWithin(fs, "b1", 1<<20, 1<<20, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Append("", []byte(`"type":"test"}`), true); err != nil {
		t.Fatal(err)
	}
	failing(fs, "flush", ".led.new", syscall.EIO)
	r, err := put(b, s, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	<-b.Shut()
	fs.Fail = nil
	left := fs.Cut(nil) // the kernel drops what it could not write
	c, _ := opened(t, left, "b1")
	_, all := closedAndSound(t, left, c)
	for _, x := range all {
		if x.ID == r.ID {
			return
		}
	}
	t.Error("the record is lost, and its copy is in the pack")
}

// The power goes in the flush of a seal: the seal has reached the disk, and what was
// durable only as a copy has not. What comes back stays.
func TestWhatComesBackBeforeASealStays(t *testing.T) {
	for seed := range uint64(200) {
		fs := powercut.New()
		b, s := opened(t, fs, "b1")
		ids := promised(t, b, s, 4)
		var cut *powercut.FS
		rng := mrand.New(mrand.NewPCG(seed, 1))
		fs.Fail = func(op, name string, _ int) error {
			if op == "flush" && strings.HasSuffix(name, ".led.new") && cut == nil {
				cut = fs.CutNow(rng)
			}
			return nil
		}
		if err := b.Close("test"); err != nil {
			t.Fatal(err)
		}
		c, s2 := opened(t, cut, "b2")
		maps.Copy(ids, promised(t, c, s2, 1))
		if _, wrong := settled(t, cut.Cut(nil), ids); wrong != nil {
			t.Fatalf("seed %d: %s", seed, strings.Join(wrong, "; "))
		}
	}
}

// A process that is killed between a seal and its flush leaves the seal to the kernel:
// the next start flushes it before it goes on behind it.
func TestASealThatWasNotFlushedIsBeforeWhatFollows(t *testing.T) {
	fs := powercut.New()
	b, s := opened(t, fs, "b1")
	ids := promised(t, b, s, 1)
	failing(fs, "flush", ".led.new", syscall.EIO) // as the kill
	if err := b.Close("test"); err == nil {
		t.Fatal("it was flushed")
	}
	fs.Fail = nil
	c, s2 := opened(t, fs, "b1")
	maps.Copy(ids, promised(t, c, s2, 1))
	if _, wrong := settled(t, fs.Cut(nil), ids); wrong != nil {
		t.Error(strings.Join(wrong, "; "))
	}
}

// Where a blob finds no room, others' records are written while there is some, and the
// full disk is told.
func TestAFullPackIsToldBesideAnothersRecord(t *testing.T) {
	fs := powercut.New()
	b, _ := opened(t, fs, "b1")
	var others error
	s, err := payload.New(payload.Options{FS: fs, Rand: rand.Reader, Now: time.Now, Epoch: b.Epoch(), Fail: func(err error) error {
		_, others = b.Append("", []byte(`"type":"test"}`), true) // before the book hears of it
		return b.Fail(err)
	}})
	if err != nil {
		t.Fatal(err)
	}
	b.With(s)
	promised(t, b, s, 1)
	failing(fs, "write", ".pack", syscall.ENOSPC)
	if _, err = put(b, s, 2, true); !errors.Is(err, syscall.ENOSPC) || others != nil {
		t.Fatal(err, others)
	}
	fs.Fail = nil
	dir := shm(t)
	if err := fs.Dump(dir); err != nil {
		t.Fatal(err)
	}
	if all := lines(t, dir); all[len(all)-1].Type != "ledger.closed" {
		t.Errorf("the last record is %s", all[len(all)-1].Type)
	}
}

// When the payloads are closed the segment is flushed itself.
func TestRecordsAfterTheLastPayloads(t *testing.T) {
	fs := powercut.New()
	b, s := opened(t, fs, "b1")
	if _, err := put(b, s, 1, false); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	closedAndSound(t, fs, b)
}

// A start that knew of no copies began a segment behind what was left: nothing comes
// back beyond its first record.
func TestNothingComesBackBeyondANewerSegment(t *testing.T) {
	fs := powercut.New()
	b, s := opened(t, fs, "b1")
	promised(t, b, s, 4)
	cut := fs.Cut(nil)
	if _, err := book.Open(book.Options{FS: cut, Now: time.Now, Mono: func() time.Duration { return 0 }, Rand: rand.Reader, Boot: "b2", Lag: time.Hour, Lost: payload.Lost(cut)}); err != nil {
		t.Fatal(err)
	}
	cut = cut.Cut(nil)
	c, _ := opened(t, cut, "b3")
	closedAndSound(t, cut, c)
}

// What somebody put in the place of what comes back is kept.
func TestWhatStoodThereInsteadIsKept(t *testing.T) {
	fs := powercut.New()
	b, s := opened(t, fs, "b1")
	promised(t, b, s, 9)
	names, err := fs.List("segments")
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	left := fs.Kill()
	left.Change("segments/"+names[0], func(b []byte) []byte { copy(b[1500:], "FORGED"); return b })
	c, _ := opened(t, left, "b2")
	_, all := closedAndSound(t, left, c)
	for _, r := range all {
		kept, _ := r.Detail["kept"].(string)
		if r.Type != "ledger.recovered" || kept == "" {
			continue
		}
		if b, err := left.ReadFile(kept); err != nil || !strings.Contains(string(b), "FORGED") {
			t.Errorf("%s: %v", kept, err)
		}
		return
	}
	t.Error("nothing is kept")
}

// counting counts the packs that are read.
type counting struct {
	*powercut.FS
	read *int
}

func (c counting) ReadFile(n string) ([]byte, error) {
	if strings.HasSuffix(n, ".pack") {
		*c.read++
	}
	return c.FS.ReadFile(n)
}

// A start looks for copies where they can be, and not through months of packs.
func TestCopiesAreLookedForInTheLastPacks(t *testing.T) {
	fs := powercut.New()
	b, s, err := pair(fs, "b1", 1<<20, 6<<10)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if _, err := s.Put(countersign.Payload{Role: "prompt", Plain: fmt.Appendf(nil, "payload %d %s", i, strings.Repeat("x", 900))}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Append("", []byte(`"type":"test"}`), true); err != nil {
		t.Fatal(err)
	}
	n := 0
	c := counting{fs.Cut(nil), &n}
	if _, err := payload.Copied(c)(b.Epoch(), 1, 100); err != nil || n == 0 || n > 4 {
		t.Errorf("%d packs were read: %v", n, err)
	}
}

// Many append beside each other and beside the timer, through rotations of segments
// and packs; the power goes before any one operation.
func TestPowerCutBesideManyWriters(t *testing.T) {
	for seed := range uint64(150) {
		rng := mrand.New(mrand.NewPCG(seed, 77))
		fs := powercut.New()
		var mu sync.Mutex
		said, kept := map[string]bool{}, map[string]bool{}
		var cut *powercut.FS
		n, at := 0, 1+rng.IntN(250)
		fs.Fail = func(string, string, int) error {
			if n++; n == at {
				mu.Lock()
				kept = maps.Clone(said)
				mu.Unlock()
				cut = fs.CutNow(rng)
			}
			return nil
		}
		b, s, err := pairWithin(fs, "b1", 12<<10, 8<<10, time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range 12 {
					wait := (i+g)%3 != 0
					r, err := put(b, s, i*5+g, wait)
					if err != nil {
						t.Error(err)
						return
					}
					if wait {
						mu.Lock()
						said[r.ID] = true
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		if err := b.Close("test"); err != nil {
			t.Fatal(err)
		}
		if cut == nil {
			continue
		}
		if _, wrong := settled(t, cut, kept); wrong != nil {
			t.Fatalf("seed %d: %s", seed, strings.Join(wrong, "; "))
		}
	}
}
