package ledger_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/ledger/book"
	"github.com/countersign/countersign/ledger/disk"
)

// lines reads a whole ledger.
func lines(t testing.TB, dir string) []countersign.Record {
	t.Helper()
	r, err := ledger.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []countersign.Record
	for line, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		var rec countersign.Record
		if err := json.Unmarshal(line, &rec); err != nil {
			t.Fatal(err)
		}
		out = append(out, rec)
	}
	return out
}

// reopen starts and ends a book, as the next session does.
func reopen(dir string) error {
	begun := time.Now()
	b, err := book.Open(book.Options{FS: disk.Dir(dir), Now: time.Now, Mono: func() time.Duration { return time.Since(begun) }, Rand: zeros{}})
	if err != nil {
		return err
	}
	return b.Close("test")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A batch torn at any byte of its last three frames costs what was in it, and
// nothing else; the torn bytes are kept and told.
func TestTornWriteAtEveryByte(t *testing.T) {
	dir := buildOf(t, true, 6, 16<<10, 10)
	last := segs(t, dir)[len(segs(t, dir))-1]
	whole := read(t, last)
	_, fs, rest := frames(t, whole)
	end := len(whole) - len(rest)
	from := end
	for _, f := range fs[len(fs)-3:] {
		from -= 48 + len(f.Data)
	}
	before := lines(t, dir)
	for at := from; at < end; at++ {
		for _, how := range []string{"zeros", "cut", "rubbish"} {
			b := bytes.Clone(whole)
			switch how {
			case "zeros":
				clear(b[at:])
			case "cut":
				b = b[:at]
			case "rubbish":
				copy(b[at:end], strings.Repeat("\xff", end-at))
			}
			tornAt(t, clone(t, dir), filepath.Base(last), b, fmt.Sprintf("%s from byte %d", how, at), before, len(fs)-3)
		}
	}
}

func tornAt(t *testing.T, dir, name string, b []byte, what string, before []countersign.Record, _ int) {
	t.Helper()
	defer os.RemoveAll(dir)
	write(t, filepath.Join(dir, "segments", name), b)
	if err := reopen(dir); err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	rep, err := ledger.Verify(dir, ledger.VerifyOptions{})
	if err != nil {
		t.Errorf("%s: does not verify afterwards: %v", what, err)
		return
	}
	after := lines(t, dir)
	at := -1
	for i, r := range after {
		if r.Type == "ledger.recovered" {
			at = i
		} else if at < 0 && r.ID != before[i].ID {
			t.Errorf("%s: record %d is another one", what, i)
		}
	}
	if at < len(before)-3 || uint64(len(after)) != rep.Records {
		t.Errorf("%s: %d records, %d before, recovered is %d", what, len(after), len(before), at)
		return
	}
	if n, _ := after[at].Detail["torn_bytes"].(float64); n > 0 {
		kept := read(t, filepath.Join(dir, after[at].Detail["kept"].(string)))
		if len(kept) != int(n) || !bytes.Contains(b, kept) {
			t.Errorf("%s: what is kept is not what was torn", what)
		}
	}
}

// Damage to what had been flushed is no crash: it is not mended away.
func TestDamageBehindFlushedRecordsIsNotMended(t *testing.T) {
	dir := buildOf(t, true, 6, 64<<10, 5)
	last := segs(t, dir)[len(segs(t, dir))-1]
	b := read(t, last)
	h, fs, _ := frames(t, b)
	b[len(h)+60] ^= 1
	write(t, last, b)
	if err := reopen(dir); countersign.CodeOf(err) != countersign.EVerify || countersign.RemedyOf(err) == "" {
		t.Errorf("%d frames, the first damaged: %v", len(fs), err)
	}
	if !bytes.Equal(read(t, last), b) {
		t.Error("the damaged segment was changed")
	}
}

func TestStartRefusesWhatContradictsItsCheckpoints(t *testing.T) {
	for name, change := range map[string]func(string){
		"last segment cut": func(dir string) {
			s := segs(t, dir)
			h, fs, _ := frames(t, read(t, s[len(s)-1]))
			write(t, s[len(s)-1], join(h, fs[:len(fs)-2], nil))
		},
		"last segment gone": func(dir string) { s := segs(t, dir); _ = os.Remove(s[len(s)-1]) },
		"all segments gone": func(dir string) { _ = os.RemoveAll(filepath.Join(dir, "segments")) },
		"key gone":          func(dir string) { _ = os.Remove(filepath.Join(dir, "key", "signer")) },
		"other key": func(dir string) {
			b := build(t, false)
			_ = os.CopyFS(dir+"x", os.DirFS(b))
			k := read(t, filepath.Join(b, "key", "signer"))
			write(t, filepath.Join(dir, "key", "signer"), k)
		},
		"bytes behind the seal": func(dir string) {
			s := segs(t, dir)
			write(t, s[len(s)-1], append(read(t, s[len(s)-1]), 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := build(t, false)
			if err := reopen(clone(t, dir)); err != nil {
				t.Fatal(err)
			}
			change(dir)
			if err := reopen(dir); err == nil {
				t.Error("it starts nevertheless")
			}
		})
	}
}

// The six ways in which the closest commercial product's chain failed.
func TestRegressionsOfPlainChains(t *testing.T) {
	t.Run("a cut tail is found", func(t *testing.T) {
		dir := build(t, false)
		s := segs(t, dir)
		h, fs, _ := frames(t, read(t, s[len(s)-1]))
		write(t, s[len(s)-1], join(h, fs[:1], nil))
		found(t, "cut", dir, ledger.VerifyOptions{})
	})
	t.Run("a rewritten chain is found", func(t *testing.T) {
		dir := build(t, false)
		rechain(t, dir, nil, hide)
		found(t, "rewritten", dir, ledger.VerifyOptions{})
	})
	t.Run("a deleted ledger is no empty ledger", func(t *testing.T) {
		dir := build(t, false)
		_ = os.RemoveAll(dir)
		if rep, err := ledger.Verify(dir, ledger.VerifyOptions{}); err == nil {
			t.Errorf("verified: %+v", rep)
		}
	})
	t.Run("four at once get four numbers", func(t *testing.T) {
		b := open(t, filepath.Join(t.TempDir(), "l"), 1<<20)
		seqs := make(chan uint64, 4)
		for range 4 {
			go func() {
				r, err := b.Append("", []byte(`"type":"test"}`), true)
				if err != nil {
					t.Error(err)
				}
				seqs <- r.Seq
			}()
		}
		seen := map[uint64]bool{}
		for range 4 {
			seen[<-seqs] = true
		}
		if len(seen) != 4 {
			t.Errorf("numbers %v", seen)
		}
		if err := b.Close("test"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a torn last record does not brick it", func(t *testing.T) {
		dir := build(t, true)
		s := segs(t, dir)
		b := read(t, s[len(s)-1])
		_, _, rest := frames(t, b)
		end := len(b) - len(rest)
		clear(b[end-20:])
		write(t, s[len(s)-1], b)
		if err := reopen(dir); err != nil {
			t.Fatal(err)
		}
		sound(t, dir, ledger.VerifyOptions{})
	})
	t.Run("durable means flushed", func(t *testing.T) {
		// Every flush is proven needed by the book's power-cut tests; here: that
		// the real file layer's flush is one, and its failure no success.
		f, err := disk.Dir(t.TempDir()).Create("x")
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		if err := f.Flush(); !errors.Is(err, os.ErrClosed) && err == nil {
			t.Error("a flush of nothing succeeds")
		}
	})
}

func TestClockStepIsARecord(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "l")
	wall, mono := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), time.Duration(0)
	b, err := book.Open(book.Options{FS: disk.Dir(dir), Now: func() time.Time { return wall }, Mono: func() time.Duration { return mono }, Rand: zeros{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []time.Duration{0, time.Hour, 0, -time.Hour, 99 * time.Millisecond, 99 * time.Millisecond} {
		wall, mono = wall.Add(time.Second+step), mono+time.Second
		if _, err := b.Append("", []byte(`"type":"test"}`), false); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close("test"); err != nil {
		t.Fatal(err)
	}
	var got []float64
	for _, r := range lines(t, dir) {
		if r.Type == "clock.stepped" {
			got = append(got, r.Detail["step_ns"].(float64))
		}
	}
	if want := []float64{3.6e12, -3.6e12, 198e6}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("steps %v, want %v", got, want)
	}
}
