package ledger_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/ledger/segment"
)

func sha(b []byte) tlog.Hash { return sha256.Sum256(b) }

func verify(dir string, o ledger.VerifyOptions) error {
	_, err := ledger.Verify(dir, o)
	return err
}

// found fails the test unless the verification found a change.
func found(t *testing.T, what, dir string, o ledger.VerifyOptions) {
	t.Helper()
	err := verify(dir, o)
	if countersign.CodeOf(err) != countersign.EVerify {
		t.Errorf("%s: not found (%v)", what, err)
	}
}

// sound fails the test unless the ledger verifies as it stands: a mutation of a
// broken one would show nothing.
func sound(t *testing.T, dir string, o ledger.VerifyOptions) ledger.Report {
	t.Helper()
	rep, err := ledger.Verify(dir, o)
	if err != nil {
		t.Fatalf("the ledger does not verify before the change: %v", err)
	}
	return rep
}

func TestAnyChangedByteIsFound(t *testing.T) {
	for name, live := range map[string]bool{"closed": false, "open, with its zero-filled tail": true} {
		t.Run(name, func(t *testing.T) {
			dir := buildOf(t, live, 4, 8<<10, 5)
			sound(t, dir, ledger.VerifyOptions{})
			for _, s := range segs(t, dir) {
				b := read(t, s)
				f, err := os.OpenFile(s, os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				for i := range b {
					if strings.Contains(name, "open") && i > 4000 && i%7 != 0 && i < len(b)-64 {
						continue // of the tail every seventh byte will do
					}
					_, _ = f.WriteAt([]byte{b[i] ^ (1 << (i % 8))}, int64(i))
					found(t, fmt.Sprintf("%s: byte %d", filepath.Base(s), i), dir, ledger.VerifyOptions{})
					_, _ = f.WriteAt(b[i:i+1], int64(i))
				}
				_ = f.Close()
			}
			sound(t, dir, ledger.VerifyOptions{})
		})
	}
}

// A changed byte whose checksum was made good again must be found by hashes,
// comparisons and signatures alone.
func TestAnyChangedByteIsFoundWithoutTheChecksum(t *testing.T) {
	dir := buildOf(t, false, 4, 8<<10, 5)
	for _, s := range segs(t, dir) {
		whole := read(t, s)
		header, fs, rest := frames(t, whole)
		for i := range fs {
			for at := 0; at < len(fs[i].Data); at += 1 + at%7 {
				fs[i].Data[at] ^= 0x01
				write(t, s, join(header, fs, rest))
				found(t, fmt.Sprintf("%s frame %d byte %d", filepath.Base(s), i, at), dir, ledger.VerifyOptions{})
				fs[i].Data[at] ^= 0x01
			}
			for what, change := range map[string]func(*segment.Frame){
				"seq":  func(f *segment.Frame) { f.Seq ^= 1 },
				"prev": func(f *segment.Frame) { f.Prev[7] ^= 1 },
				"note": func(f *segment.Frame) { f.Note = !f.Note; f.Seal = f.Seal && f.Note },
				"seal": func(f *segment.Frame) { f.Seal = f.Note && !f.Seal },
			} {
				f := fs[i]
				change(&fs[i])
				if fs[i].Seq != f.Seq || fs[i].Prev != f.Prev || fs[i].Note != f.Note || fs[i].Seal != f.Seal {
					write(t, s, join(header, fs, rest))
					found(t, fmt.Sprintf("%s frame %d %s", filepath.Base(s), i, what), dir, ledger.VerifyOptions{})
				}
				fs[i] = f
			}
		}
		write(t, s, whole)
	}
	sound(t, dir, ledger.VerifyOptions{})
}

// splice edits the frames of the segment with this index.
func splice(n int, edit func([]segment.Frame) []segment.Frame) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		s := segs(t, dir)[n]
		header, fs, rest := frames(t, read(t, s))
		write(t, s, join(header, edit(fs), rest))
	}
}

func TestMutationsAreFound(t *testing.T) {
	cut := func(n, bytes int) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			all := segs(t, dir)
			s := all[(n+len(all))%len(all)]
			b := read(t, s)
			write(t, s, b[:len(b)-bytes])
		}
	}
	remove := func(glob string, n int) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			m, _ := filepath.Glob(filepath.Join(dir, glob))
			if err := os.Remove(m[(n+len(m))%len(m)]); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name   string
		change func(*testing.T, string)
	}{
		{"record dropped", splice(0, func(f []segment.Frame) []segment.Frame { return append(f[:2:2], f[3:]...) })},
		{"two records change places", splice(0, func(f []segment.Frame) []segment.Frame { f[0], f[1] = f[1], f[0]; return f })},
		{"record twice", splice(0, func(f []segment.Frame) []segment.Frame { return append(f[:1:1], f[0:]...) })},
		{"checkpoint dropped", splice(1, func(f []segment.Frame) []segment.Frame {
			for i := range f {
				if f[i].Note && !f[i].Seal {
					return append(f[:i:i], f[i+1:]...)
				}
			}
			return nil
		})},
		{"last record and seal dropped", splice(1, func(f []segment.Frame) []segment.Frame { return f[:len(f)-2] })},
		{"seal dropped", splice(1, func(f []segment.Frame) []segment.Frame { return f[:len(f)-1] })},
		{"one byte cut", cut(-1, 1)},
		{"hundred bytes cut from the first", cut(0, 100)},
		{"zero byte added to a sealed one", func(t *testing.T, dir string) {
			s := segs(t, dir)
			write(t, s[len(s)-1], append(read(t, s[len(s)-1]), 0))
		}},
		{"first segment removed", remove("segments/*.led", 0)},
		{"middle segment removed", remove("segments/*.led", 2)},
		{"last segment removed", remove("segments/*.led", -1)},
		{"all segments removed", func(t *testing.T, dir string) {
			for _, s := range segs(t, dir) {
				_ = os.Remove(s)
			}
		}},
		{"segments swapped", func(t *testing.T, dir string) {
			s := segs(t, dir)
			a, b := read(t, s[0]), read(t, s[1])
			write(t, s[0], b)
			write(t, s[1], a)
		}},
		{"segment under a foreign name added", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "segments", "x.led"), nil)
		}},
		{"kept checkpoint removed", remove("checkpoints/*", 0)},
		{"kept checkpoint changed", func(t *testing.T, dir string) {
			m, _ := filepath.Glob(filepath.Join(dir, "checkpoints", "*"))
			b := read(t, m[0])
			b[len(b)-5] ^= 1
			write(t, m[0], b)
		}},
		{"rewritten without the key", func(t *testing.T, dir string) { rechain(t, dir, nil, hide) }},
		{"rewritten, one record less, without the key", func(t *testing.T, dir string) { rechain(t, dir, nil, without5) }},
		{"rewritten with another key", func(t *testing.T, dir string) {
			skey, _, _ := note.GenerateKey(rand.Reader, "n1")
			s, _ := note.NewSigner(skey)
			rechain(t, dir, s, hide)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := build(t, false)
			sound(t, dir, ledger.VerifyOptions{})
			tt.change(t, dir)
			found(t, tt.name, dir, ledger.VerifyOptions{})
		})
	}
}

func hide(seq uint64, body []byte) []byte {
	if seq == 5 {
		return bytes.Replace(body, []byte(`"session":"s"`), []byte(`"session":"q"`), 1)
	}
	return body
}

func without5(seq uint64, body []byte) []byte {
	if seq == 5 {
		return nil
	}
	return body
}

// What a directory alone cannot show is found with what was kept elsewhere, and
// without it Verify says what it does not know.
func TestWitnessFindsWhatTheDirectoryCannotShow(t *testing.T) {
	owner := func(t *testing.T, dir string) note.Signer {
		s, err := note.NewSigner(strings.TrimSpace(string(read(t, filepath.Join(dir, "key", "signer")))))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	tests := []struct {
		name   string
		change func(t *testing.T, dir string)
		says   string
		byKey  bool // found by a kept verifier key, too
	}{
		{"rewritten by the holder of the key", func(t *testing.T, dir string) { rechain(t, dir, owner(t, dir), hide) }, "older copy", false},
		{"a record dropped by the holder of the key", func(t *testing.T, dir string) {
			m, _ := filepath.Glob(filepath.Join(dir, "checkpoints", "*"))
			for _, c := range m {
				_ = os.Remove(c)
			}
			rechain(t, dir, owner(t, dir), without5)
		}, "older copy", false},
		{"rewritten and signed by a new key", func(t *testing.T, dir string) {
			skey, vkey, _ := note.GenerateKey(rand.Reader, "n1")
			s, _ := note.NewSigner(skey)
			rechain(t, dir, s, hide)
			write(t, filepath.Join(dir, "key", "signer"), []byte(skey))
			write(t, filepath.Join(dir, "key", "verifier"), []byte(vkey))
		}, "a key of his own", true},
		{"last segment and its checkpoint removed", func(t *testing.T, dir string) {
			m, _ := filepath.Glob(filepath.Join(dir, "checkpoints", "*"))
			_ = os.Remove(m[len(m)-1])
			s := segs(t, dir)
			_ = os.Remove(s[len(s)-1])
		}, "cut from the end", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := build(t, false)
			rep := sound(t, dir, ledger.VerifyOptions{})
			kept := ledger.VerifyOptions{Checkpoint: []byte(rep.Checkpoint)}
			sound(t, dir, kept)
			sound(t, dir, ledger.VerifyOptions{Key: rep.Key})
			tt.change(t, dir)
			after := sound(t, dir, ledger.VerifyOptions{}) // silent: nothing outside to compare with
			if !strings.Contains(strings.Join(after.NotChecked, "\n"), tt.says) {
				t.Errorf("it does not say that it cannot know: %q", after.NotChecked)
			}
			found(t, tt.name, dir, kept)
			if tt.byKey {
				found(t, "by key", dir, ledger.VerifyOptions{Key: rep.Key})
			}
		})
	}
}

func TestOldCopyPutBackIsFoundBesideAKeptCheckpoint(t *testing.T) {
	dir := build(t, false)
	old := clone(t, dir)
	b := open(t, dir, 1<<20)
	if _, err := b.Append("", []byte(`"type":"test"}`), true); err != nil {
		t.Fatal(err)
	}
	if err := b.Close("test"); err != nil {
		t.Fatal(err)
	}
	kept := []byte(sound(t, dir, ledger.VerifyOptions{}).Checkpoint)
	found(t, "rollback", old, ledger.VerifyOptions{Checkpoint: kept})
	// And if it goes on from the old copy, both have records of the same number.
	b = open(t, old, 1<<20)
	for range 9 {
		if _, err := b.Append("", []byte(`"type":"test"}`), true); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close("test"); err != nil {
		t.Fatal(err)
	}
	sound(t, old, ledger.VerifyOptions{})
	found(t, "fork", old, ledger.VerifyOptions{Checkpoint: kept})
}

func TestVerifyOfNothingIsNoSuccess(t *testing.T) {
	if err := verify(t.TempDir(), ledger.VerifyOptions{}); countersign.CodeOf(err) != countersign.ENotFound {
		t.Errorf("an empty directory: %v", err)
	}
}

func TestVerifyWritesNothing(t *testing.T) {
	dir := build(t, true)
	before := listing(t, dir)
	sound(t, dir, ledger.VerifyOptions{})
	r, err := ledger.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if after := listing(t, dir); n == 0 || after != before {
		t.Errorf("%d records; the directory changed:\n%s\n%s", n, before, after)
	}
}

func listing(t *testing.T, dir string) string {
	var s strings.Builder
	err := filepath.Walk(dir, func(p string, fi os.FileInfo, err error) error {
		fmt.Fprintln(&s, p, fi.Size(), fi.ModTime().UnixNano(), fi.Mode())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.String()
}
