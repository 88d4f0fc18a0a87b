package ledger_test

import (
	"fmt"
	"maps"
	mrand "math/rand/v2"
	"strings"
	"testing"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger/book"
	"github.com/countersign/countersign/ledger/powercut"
)

// restart opens what is left of a ledger, with or without what its packs keep of its
// segments, and returns the ids of its records.
func restart(t *testing.T, fs *powercut.FS, copied func(epoch, first uint64, end int64) ([]byte, error)) map[string]bool {
	t.Helper()
	b, err := book.Open(book.Options{FS: fs, Now: time.Now, Mono: func() time.Duration { return 0 }, Rand: zeros{}, Copied: copied})
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	_, all := closedAndSound(t, fs, b)
	for _, r := range all {
		ids[r.ID] = true
	}
	return ids
}

// flushesOf counts the flushes of files with this ending.
func flushesOf(fs *powercut.FS, ending string) *int {
	n := new(int)
	fs.Fail = func(op, name string, _ int) error {
		if op == "flush" && strings.HasSuffix(name, ending) {
			*n++
		}
		return nil
	}
	return n
}

// A record and its payload are durable after one flush, of the pack; the segment
// follows, and until then the pack has what a power cut takes from it.
func TestOneFlushMakesRecordAndPayloadDurable(t *testing.T) {
	fs := powercut.New()
	b, s := opened(t, fs, "b1")
	segments := flushesOf(fs, ".led.new")
	durable := promised(t, b, s, 5)
	if *segments != 0 {
		t.Errorf("the segment was flushed %d times", *segments)
	}
	for id := range restart(t, fs.Cut(nil), nil) {
		if durable[id] {
			t.Error("a record is there without the copies: they are not what is tested")
		}
	}
	if _, wrong := settled(t, fs.Cut(nil), durable); wrong != nil {
		t.Error(strings.Join(wrong, "; "))
	}
}

// What is durable only as a copy does not stay so.
func TestTheSegmentFollowsItsCopy(t *testing.T) {
	fs := powercut.New()
	b, s, err := pairWithin(fs, "b1", 1<<20, 1<<20, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	r, err := put(b, s, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); !restart(t, fs.Cut(nil), nil)[r.ID]; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the segment is never flushed itself")
		}
	}
}

// One power cut after the other, also in the middle of a start, between rotations of
// packs and segments: nothing that was promised is lost, and the chain is whole.
func TestPowerCutAfterPowerCut(t *testing.T) {
	for seed := range uint64(600) {
		rng := mrand.New(mrand.NewPCG(seed, 9))
		fs, durable := powercut.New(), map[string]bool{}
		for life := range 6 {
			left := fs
			at := 1 + rng.IntN(40) // the operation before which the power goes
			n, kept := 0, maps.Clone(durable)
			var cut *powercut.FS
			left.Fail = func(string, string, int) error {
				if n++; n == at {
					cut, kept = left.CutNow(rng), maps.Clone(durable)
				}
				return nil
			}
			b, s, err := pair(left, fmt.Sprint("b", life), 5<<10, 4<<10)
			if err != nil {
				t.Fatalf("seed %d, life %d: %v", seed, life, err)
			}
			var pending []string
			for i := range 12 {
				wait := rng.IntN(3) == 0
				r, err := put(b, s, i, wait)
				if err != nil {
					t.Fatal(err)
				}
				if pending = append(pending, r.ID); wait {
					for _, id := range pending {
						durable[id] = true
					}
					pending = nil
				}
			}
			if left.Fail = nil; cut == nil {
				cut, kept = left.Cut(rng), durable
			}
			fs, durable = cut, maps.Clone(kept)
		}
		if _, wrong := settled(t, fs, durable); wrong != nil {
			t.Fatalf("seed %d: %s", seed, strings.Join(wrong, "; "))
		}
	}
}

// Where the machine has run on, no power cut has taken anything: what is missing was
// changed by somebody, and is not made good without a word.
func TestACopyHidesNoDamage(t *testing.T) {
	fs := powercut.New()
	b, s := opened(t, fs, "b1")
	promised(t, b, s, 9)
	segments, err := fs.List("segments")
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	damaged := func() *powercut.FS {
		left := fs.Kill()
		left.Change("segments/"+segments[0], func(b []byte) []byte { b[1500] = 0xff; return b })
		return left
	}
	if _, _, err := pair(damaged(), "b1", 1<<20, 1<<20); countersign.CodeOf(err) != countersign.EVerify {
		t.Errorf("the machine ran on: %v", err)
	}
	left, said := damaged(), false
	c, _ := opened(t, left, "b2")
	_, all := closedAndSound(t, left, c)
	for _, r := range all {
		n, ok := r.Detail["restored_bytes"].(float64)
		said = said || r.Type == "ledger.recovered" && ok && n > 0
	}
	if !said {
		t.Error("nothing says that a copy was needed")
	}
}
