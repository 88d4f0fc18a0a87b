package book_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/ledger/book"
	"github.com/countersign/countersign/ledger/powercut"
)

func options(fs *powercut.FS) book.Options {
	start := time.Now()
	return book.Options{
		FS: fs, Now: time.Now, Mono: func() time.Duration { return time.Since(start) }, Rand: rand.Reader,
		Boot: "b1", SegmentSize: 12 << 10, Lag: time.Hour,
	}
}

// acked is what the book has promised to one who asked.
type acked struct {
	durable, written []string // ids
	closed           bool
}

func body(i int) []byte {
	return fmt.Appendf(nil, `"type":"test","detail":{"n":%d,"pad":%q}}`, i, strings.Repeat("x", i*37%600))
}

// play opens the book, appends, closes if asked, and calls after each promise.
func play(fs *powercut.FS, a *acked, n int, end bool, after func()) (err error) {
	b, err := book.Open(options(fs))
	if err != nil {
		return err
	}
	after()
	defer func() {
		if !end || err != nil {
			fs.Fail = nil
			_ = b.Close("test") // only to end its timer: the caller looks at copies made before
		}
	}()
	for i := range n {
		r, err := b.Append("", body(i), i%3 != 0)
		if err != nil {
			return err
		}
		if i%3 != 0 {
			a.durable = append(append(a.durable, a.written[len(a.durable):]...), r.ID)
		}
		a.written = append(a.written, r.ID)
		after()
	}
	if end {
		if err := b.Close("test"); err != nil {
			return err
		}
		a.durable, a.closed = a.written, true
		after()
	}
	return nil
}

// check opens what a crash has left and says which promise is broken.
func check(t *testing.T, fs *powercut.FS, promised []string, closed bool) error {
	t.Helper()
	copies, _ := fs.List("checkpoints")
	if segs, _ := fs.List("segments"); closed && len(copies) != len(segs) {
		return errors.New("closed, and a checkpoint has no copy")
	}
	b, err := book.Open(options(fs))
	if err != nil {
		return fmt.Errorf("does not open again: %w", err)
	}
	if err := b.Close("check"); err != nil {
		return fmt.Errorf("does not close again: %w", err)
	}
	dir := t.TempDir()
	if err := fs.Dump(dir); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if rep, err := ledger.Verify(dir, ledger.VerifyOptions{}); err != nil {
		return fmt.Errorf("does not verify: %w: %s", err, rep.Bad)
	}
	r, err := ledger.OpenReader(dir)
	if err != nil {
		return err
	}
	all := &strings.Builder{}
	for line, err := range r.All() {
		if err != nil {
			return err
		}
		all.Write(line)
		all.WriteByte('\n')
	}
	for _, id := range promised {
		if !strings.Contains(all.String(), id) {
			return fmt.Errorf("record %s is lost", id)
		}
	}
	if closed && strings.Contains(all.String(), "ledger.recovered") {
		return errors.New("a ledger that was closed in good order was recovered")
	}
	return nil
}

func TestPowerCutLosesNothingThatWasPromised(t *testing.T) {
	fs, a := powercut.New(), &acked{}
	rng := mrand.New(mrand.NewPCG(1, 2))
	after := func() {
		for name, cut := range map[string]*powercut.FS{"nothing": fs.Cut(nil), "some": fs.Cut(rng)} {
			if err := check(t, cut, a.durable, a.closed); err != nil {
				t.Fatalf("after %d records, %s of the unflushed survives: %v", len(a.written), name, err)
			}
		}
		if err := check(t, fs.Kill(), a.written, a.closed); err != nil {
			t.Fatalf("after %d records, killed: %v", len(a.written), err)
		}
	}
	for range 3 {
		a.closed = false
		if err := play(fs, a, 16, true, after); err != nil {
			t.Fatal(err)
		}
	}
}

// Every flush is needed: without it, some power cut breaks a promise. A flush
// that could be left out would be one that this test says nothing of.
func TestEveryFlushIsNeeded(t *testing.T) {
	for _, op := range []string{"flush", "syncdir"} {
		total := 0
		fs := powercut.New()
		fs.Fail = func(o, _ string, n int) error {
			if o == op {
				total = n
			}
			return nil
		}
		if err := play(fs, &acked{}, 20, true, func() {}); err != nil {
			t.Fatal(err)
		}
		for k := 1; k <= total; k++ {
			where, err := without(t, op, k)
			if err == nil && !spare(op, where) {
				t.Errorf("%s %d (%s) can be left out and nothing notices", op, k, where)
			}
			if err != nil && testing.Verbose() {
				t.Logf("without %s %d (%s): %v", op, k, where, err)
			}
		}
	}
}

// spare are the flushes whose loss the next start makes good.
func spare(op, where string) bool {
	return strings.Contains(where, "reserve") || op == "syncdir" && (where == "." || where == "key")
}

func without(t *testing.T, op string, k int) (where string, broken error) {
	fs, a := powercut.New(), &acked{}
	fs.Fail = func(o, name string, n int) error {
		if where != "" && broken == nil && (o == "flush" || o == "syncdir") {
			broken = check(t, fs.CutNow(nil), a.durable, false)
		}
		if o == op && n == k {
			where = name
			return powercut.ErrForget
		}
		return nil
	}
	err := play(fs, a, 20, true, func() {
		if broken == nil && where != "" {
			broken = check(t, fs.Cut(nil), a.durable, a.closed)
		}
	})
	return where, errors.Join(broken, err)
}

// A start after a crash flushes too, and may be cut off at any of its steps.
func TestPowerCutDuringRecovery(t *testing.T) {
	for op := range map[string]bool{"flush": true, "syncdir": true, "write": true, "rename": true, "truncate": true} {
		for k := 1; ; k++ {
			fs, a := torn(t), &acked{}
			hit := false
			fs.Fail = func(o, _ string, n int) error {
				if o == op && n == k {
					hit = true
					return syscall.EIO
				}
				return nil
			}
			err := play(fs, a, 2, false, func() {})
			if !hit {
				break
			}
			if err == nil {
				t.Errorf("%s %d failed and nobody was told", op, k)
			}
			for _, after := range []*powercut.FS{fs.Cut(nil), fs.Kill()} {
				if err := check(t, after, a.durable, false); err != nil {
					t.Errorf("%s %d: %v", op, k, err)
				}
				if !keeps(after, "TORN") {
					t.Errorf("%s %d: the torn bytes are gone", op, k)
				}
			}
		}
	}
}

// torn is a ledger whose last frame a crash has torn.
func torn(t *testing.T) *powercut.FS {
	fs, a := powercut.New(), &acked{}
	var crashed *powercut.FS
	if err := play(fs, a, 3, false, func() { crashed = fs.Kill() }); err != nil {
		t.Fatal(err)
	}
	segs, _ := crashed.List("segments")
	crashed.Change("segments/"+segs[len(segs)-1], func(b []byte) []byte {
		end := len(strings.TrimRight(string(b), "\x00"))
		return append(append(b[:end:end], "TORN"...), b[min(len(b), end+4):]...)
	})
	return crashed
}

// keeps reports whether the torn bytes are aside and a record says so.
func keeps(fs *powercut.FS, what string) bool {
	names, _ := fs.List("torn")
	for _, n := range names {
		if b, err := fs.ReadFile("torn/" + n); err == nil && string(b) == what {
			return told(fs, n)
		}
	}
	return false
}

func told(fs *powercut.FS, name string) bool {
	segs, _ := fs.List("segments")
	for _, s := range segs {
		if b, _ := fs.ReadFile("segments/" + s); strings.Contains(string(b), `"kept":"torn/`+name) {
			return true
		}
	}
	return false
}

// Whatever fails and whenever, nobody is promised what is not there, nothing is
// promised afterwards, and the next start goes on.
func TestEveryFaultClosesTheBook(t *testing.T) {
	for _, fault := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		for _, op := range []string{"write", "flush", "truncate", "create", "rename", "syncdir", "open"} {
			for k := 1; ; k++ {
				if !faulted(t, fault, op, k) {
					break
				}
			}
		}
	}
}

func faulted(t *testing.T, fault error, op string, k int) bool {
	fs, a := powercut.New(), &acked{}
	hit, segment := false, false
	after, late := 0, 0
	fs.Fail = func(o, name string, n int) error {
		if hit && (o == "write" || o == "flush") {
			after++
		}
		if o == op && n == k {
			hit, segment = true, strings.HasPrefix(name, "segments/")
			return fault
		}
		return nil
	}
	err := play(fs, a, 16, true, func() {
		if hit {
			late++
		}
	})
	if !hit {
		return false
	}
	if err == nil {
		t.Errorf("%v at %s %d: nobody was told", fault, op, k)
	}
	// The goodbye on a full disk flushes the record that found it full, too.
	if late > 1 || late == 1 && (fault == syscall.EIO || op != "write") {
		t.Errorf("%v at %s %d: %d promises after the fault", fault, op, k, late)
	}
	if after > 0 && (errors.Is(fault, syscall.EIO) || op == "flush" && segment) {
		t.Errorf("%v at %s %d: %d writes and flushes after it", fault, op, k, after)
	}
	for name, cut := range map[string]*powercut.FS{"cut": fs.Cut(nil), "killed": fs.Kill()} {
		if err := check(t, cut, a.durable, false); err != nil {
			t.Errorf("%v at %s %d, %s: %v", fault, op, k, name, err)
		}
	}
	return true
}

// A disk that fills up is told in the ledger itself.
func TestFullDiskIsRecorded(t *testing.T) {
	fs, a := powercut.New(), &acked{}
	full := false
	fs.Fail = func(op, name string, _ int) error {
		if full && (op == "create" || op == "write" && strings.HasSuffix(name, ".new")) {
			return syscall.ENOSPC
		}
		return nil
	}
	err := play(fs, a, 100, false, func() { full = len(a.written) >= 5 })
	if !errors.Is(err, syscall.ENOSPC) || countersign.CodeOf(err) != countersign.EClosed {
		t.Fatalf("got %v", err)
	}
	if err := check(t, fs.Cut(nil), a.written, false); err != nil {
		t.Error(err)
	}
}

func TestWritersGetContiguousNumbers(t *testing.T) {
	fs := powercut.New()
	o := options(fs)
	o.SegmentSize, o.Lag = 256<<10, time.Millisecond
	b, err := book.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	const writers, each = 256, 8
	var mu sync.Mutex
	seen := map[uint64]string{}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			last := uint64(0)
			for i := range each {
				r, err := b.Append(fmt.Sprintf("w%d-%d", w, i), body(i), i%2 == 0)
				if err != nil {
					t.Error(err)
					return
				}
				if r.Seq <= last {
					t.Errorf("number %d after %d", r.Seq, last)
				}
				last = r.Seq
				mu.Lock()
				seen[r.Seq] = r.ID
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := b.Close("test"); err != nil {
		t.Fatal(err)
	}
	for seq := uint64(2); seq < 2+writers*each; seq++ {
		if seen[seq] == "" {
			t.Errorf("number %d is missing", seq)
		}
	}
	if err := check(t, fs.Kill(), nil, true); err != nil {
		t.Error(err)
	}
}
