package ledger_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	mrand "math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/ledger/book"
	"github.com/countersign/countersign/ledger/payload"
	"github.com/countersign/countersign/ledger/powercut"
)

// pair opens a book with its payloads beside it, as the ledger process does.
func pair(fs *powercut.FS, boot string, segment, pack int64) (*book.Book, *payload.Store, error) {
	return pairWithin(fs, boot, segment, pack, time.Hour)
}

func pairWithin(fs *powercut.FS, boot string, segment, pack int64, lag time.Duration) (*book.Book, *payload.Store, error) {
	begun := time.Now()
	b, err := book.Open(book.Options{
		FS: fs, Now: time.Now, Mono: func() time.Duration { return time.Since(begun) }, Rand: rand.Reader,
		Boot: boot, SegmentSize: segment, Lag: lag, Lost: payload.Lost(fs), Copied: payload.Copied(fs),
	})
	if err != nil {
		return nil, nil, err
	}
	s, err := payload.New(payload.Options{FS: fs, Rand: rand.Reader, Now: time.Now, Epoch: b.Epoch(), PackSize: pack, Fail: b.Fail})
	if err == nil {
		b.With(s)
	}
	return b, s, err
}

// put appends a record with a payload.
func put(b *book.Book, s *payload.Store, i int, durable bool) (countersign.Receipt, error) {
	refs, err := s.Write(countersign.Payload{Role: "prompt", Plain: fmt.Appendf(nil, "payload %d %s", i, strings.Repeat("x", i*97%900))})
	if err != nil {
		return countersign.Receipt{}, err
	}
	body, err := json.Marshal(map[string]any{"type": "test", "payloads": refs})
	if err != nil {
		return countersign.Receipt{}, err
	}
	return b.Append("", body[1:], durable)
}

// settled opens what a power cut has left and returns how many records have lost
// their payloads, all of which must be told, and none of which was waited for.
func settled(t *testing.T, fs *powercut.FS, durable map[string]bool) (lost int, wrong []string) {
	t.Helper()
	b, s, err := pair(fs, "b2", 12<<10, 6<<10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := put(b, s, 1, true); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	dir, all := closedAndSound(t, fs, b)
	told := map[uint64]bool{}
	for _, r := range all {
		if seqs, ok := r.Detail["lost_payloads"].([]any); ok && r.Type == "ledger.recovered" {
			for _, seq := range seqs {
				told[uint64(seq.(float64))] = true
			}
		}
	}
	say := func(f string, a ...any) { wrong = append(wrong, fmt.Sprintf(f, a...)) }
	have := map[string]bool{}
	for _, r := range all {
		have[r.ID] = true
		for _, p := range r.Payloads {
			_, err := ledger.OpenBlob(dir, p)
			switch {
			case err == nil && told[r.Seq]:
				say("record %d is told as lost, and its payload is there", r.Seq)
			case err != nil && !told[r.Seq]:
				say("record %d has lost its payload, and nothing says so: %v", r.Seq, err)
			case err != nil && durable[r.ID]:
				say("record %d was waited for, and has lost its payload", r.Seq)
			case err != nil:
				lost++
			}
		}
	}
	for id := range durable {
		if !have[id] {
			say("record %s was waited for, and is lost", id)
		}
	}
	return lost, wrong
}

func shm(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "ledger-test")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Record and payload are flushed together, so a power cut may leave the one
// without the other: only where nobody had an answer yet, and the next start says
// so.
func TestPowerCutBetweenRecordAndPayloadIsTold(t *testing.T) {
	fs, durable, lost := powercut.New(), map[string]bool{}, 0
	rng := mrand.New(mrand.NewPCG(5, 6))
	b, s, err := pair(fs, "b1", 12<<10, 6<<10)
	if err != nil {
		t.Fatal(err)
	}
	var pending []string
	for i := range 60 {
		r, err := put(b, s, i, i%4 == 3)
		if err != nil {
			t.Fatal(err)
		}
		if pending = append(pending, r.ID); i%4 == 3 {
			for _, id := range pending {
				durable[id] = true
			}
			pending = nil
		}
		for _, cut := range []*powercut.FS{fs.Cut(nil), fs.Cut(rng), fs.Cut(rng), fs.Kill()} {
			once, wrong := settled(t, cut, durable)
			lost += once
			twice, more := settled(t, cut, durable)
			if wrong = append(wrong, more...); wrong != nil || twice != once {
				t.Fatalf("after %d records: %s; %d lost, with another start %d", i+1, strings.Join(wrong, "; "), once, twice)
			}
		}
	}
	if lost == 0 {
		t.Error("no cut took a payload of a record that it left: nothing was tested")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Close("test"); err != nil {
		t.Fatal(err)
	}
}

// Each flush of packs is needed: the one for who waits, the one before a pack is
// left, and the one before a segment is sealed.
func TestEveryFlushOfPacksIsNeeded(t *testing.T) {
	for name, c := range map[string]struct {
		segment, pack int64
		durable       int // every so many
	}{
		"waits": {1 << 20, 1 << 20, 3}, "pack left": {1 << 20, 6 << 10, 20}, "sealed": {12 << 10, 1 << 20, 100},
	} {
		for k := 1; ; k++ {
			fs, hit, noticed := powercut.New(), false, false
			n := 0
			fs.Fail = func(op, name string, _ int) error {
				if op != "flush" || !strings.HasSuffix(name, ".pack") {
					return nil
				}
				if n++; n == k {
					hit = true
					return powercut.ErrForget
				}
				return nil
			}
			b, s, err := pair(fs, "b1", c.segment, c.pack)
			if err != nil {
				t.Fatal(err)
			}
			before, durable := map[string]bool{}, map[string]bool{}
			for i := range 40 {
				r, err := put(b, s, i, i%c.durable == c.durable-1)
				if err != nil {
					t.Fatal(err)
				}
				if before[r.ID] = true; i%c.durable == c.durable-1 {
					durable = maps.Clone(before)
				}
				if hit && !noticed {
					_, wrong := settled(t, fs.Cut(nil), durable)
					noticed = wrong != nil
				}
			}
			if !hit {
				break
			}
			if !noticed {
				t.Errorf("%s: flush %d can be left out and nothing notices", name, k)
			}
		}
	}
}

// Who says that a crash took what had been flushed is found, even with the key.
func TestFalseWordOfLostPayloadsIsFound(t *testing.T) {
	fs := powercut.New()
	b, s, err := pair(fs, "b1", 1<<20, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 9 {
		if _, err := put(b, s, i, i%3 == 2); err != nil {
			t.Fatal(err)
		}
	}
	// The last but one checkpoint has 7 records, the last 10.
	for said, good := range map[string]bool{"b2 [2]": false, "b2 [7]": false, "b2 [8,11]": false, "b2 [8,10]": true, "b1 [8,10]": false} {
		dir := shm(t)
		boot, seqs, _ := strings.Cut(said, " ")
		cut := fs.Kill()
		if c, _, err := pair(cut, boot, 1<<20, 1<<20); err != nil {
			t.Fatal(err)
		} else if err := c.Close("test"); err != nil {
			t.Fatal(err)
		}
		if err := cut.Dump(dir); err != nil {
			t.Fatal(err)
		}
		lie := func(_ uint64, body []byte) []byte {
			return []byte(strings.Replace(string(body), `"offset":`, `"lost_payloads":`+seqs+`,"offset":`, 1))
		}
		skey, err := cut.ReadFile(book.SignerFile)
		if err != nil {
			t.Fatal(err)
		}
		sign, err := note.NewSigner(strings.TrimSpace(string(skey)))
		if err != nil {
			t.Fatal(err)
		}
		sound(t, dir, ledger.VerifyOptions{})
		if rechain(t, dir, sign, lie); good {
			sound(t, dir, ledger.VerifyOptions{})
			continue
		}
		found(t, "lost_payloads "+said, dir, ledger.VerifyOptions{})
	}
}

// A payload that is gone although the machine ran on was not taken by a power cut:
// killing the ledger process does not make it lost.
func TestPayloadTakenAwayIsNotCalledLost(t *testing.T) {
	fs := powercut.New()
	b, s, err := pair(fs, "b1", 1<<20, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	r, err := put(b, s, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	left := fs.Kill()
	names, err := left.List("blobs")
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	pack, err := left.Open("blobs/" + names[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := pack.Truncate(20); err != nil {
		t.Fatal(err)
	}
	c, _, err := pair(left, "b1", 1<<20, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close("test"); err != nil {
		t.Fatal(err)
	}
	dir := shm(t)
	if err := left.Dump(dir); err != nil {
		t.Fatal(err)
	}
	sound(t, dir, ledger.VerifyOptions{})
	said := ""
	for _, x := range lines(t, dir) {
		if x.Type == "ledger.recovered" {
			said = fmt.Sprint(x.Detail["lost_payloads"], x.Detail["missing_payloads"])
		}
	}
	if want := fmt.Sprintf("<nil> [%d]", r.Seq); said != want {
		t.Errorf("lost and missing: %s, want %s", said, want)
	}
}
