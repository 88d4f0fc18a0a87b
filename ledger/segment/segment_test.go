package segment

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func TestTreeIsTheOneOfRFC6962(t *testing.T) {
	var tree Tree
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(ix []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range ix {
			out = append(out, stored[i])
		}
		return out, nil
	})
	for n := range int64(300) {
		want, err := tlog.TreeHash(n, reader)
		if err != nil {
			t.Fatal(err)
		}
		if got := tree.Root(); got != want {
			t.Fatalf("root of %d leaves: %v, want %v", n, got, want)
		}
		leaf := tlog.RecordHash(fmt.Append(nil, n))
		hs, err := tlog.StoredHashesForRecordHash(n, leaf, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hs...)
		tree.Append(leaf)
	}
}

// sample is a segment of n records with a checkpoint after each and a seal.
func sample(t testing.TB, n int, tail int) []byte {
	t.Helper()
	h := Header{Epoch: 3, First: 1}
	b := AppendHeader(nil, h)
	s := State{Header: h}
	for i := range n {
		leaf := AppendLeaf(nil, Leaf{ID: fmt.Sprint("id", i), Node: "n", Epoch: 3, Seq: s.Seq + 1, Prev: s.Prev, Wall: "2026-01-01T00:00:00.000000000Z", Mono: int64(i), Boot: "b"}, []byte(`"type":"t"}`))
		s.Seq++
		b = AppendFrame(b, Frame{Seq: s.Seq, Prev: s.Prev, Data: leaf})
		s.Prev = tlog.RecordHash(leaf)
		s.Tree.Append(s.Prev)
		c := Checkpoint{Origin: "n", Size: s.Seq, Root: s.Tree.Root(), After: s.Note}
		text := []byte(c.Text() + "\n— n c2lnbmF0dXJl\n")
		b = AppendFrame(b, Frame{Seq: s.Seq, Prev: s.Prev, Note: true, Seal: tail == 0 && i == n-1, Data: text})
		s.Note = sha256.Sum256(text)
	}
	return append(b, make([]byte, tail)...)
}

func scanAll(b []byte) (n int, rest []byte, err error) {
	s, err := NewScan(b)
	if err != nil {
		return 0, nil, err
	}
	for {
		if _, err := s.Next(); errors.Is(err, ErrEnd) {
			return n, s.Rest(), nil
		} else if err != nil {
			return n, s.Rest(), err
		}
		n++
	}
}

func TestScanReadsWhatWasWritten(t *testing.T) {
	for _, tail := range []int{0, 1, 47, 48, 49, 5000} {
		n, rest, err := scanAll(sample(t, 5, tail))
		if n != 10 || len(rest) != 0 || err != nil {
			t.Errorf("tail of %d: %d frames, rest of %d, %v", tail, n, len(rest), err)
		}
	}
}

func TestHeaderSaysWhichVersionItIs(t *testing.T) {
	b := sample(t, 1, 0)
	b[len(magic)-2] = '2'
	if _, _, err := ParseHeader(b); !errors.Is(err, ErrVersion) {
		t.Errorf("got %v", err)
	}
}

func TestLeafRoundTrip(t *testing.T) {
	for _, boot := range []string{"", "b1"} {
		l := Leaf{ID: "i", Node: "n", Epoch: 7, Seq: 8, Prev: tlog.Hash{1, 2}, Wall: "w", Mono: 9, Boot: boot}
		b := AppendLeaf(nil, l, []byte(`"type":"x"}`))
		got, n, err := ParseLeaf(b)
		if err != nil || string(b[n:]) != `"type":"x"}` {
			t.Fatal(n, err)
		}
		if d := cmp.Diff(l, got); d != "" {
			t.Error(d)
		}
	}
	good := string(AppendLeaf(nil, Leaf{ID: "i", Node: "n", Epoch: 7, Seq: 8, Wall: "w", Mono: 9}, []byte(`"type":"x"}`)))
	for name, bad := range map[string]string{
		"white space":     strings.Replace(good, `"epoch":`, `"epoch": `, 1),
		"leading zero":    strings.Replace(good, `"seq":8`, `"seq":08`, 1),
		"upper-case hash": strings.Replace(good, "sha256:00", "sha256:AA", 1),
		"other order":     strings.Replace(good, `"id":"i","node":"n"`, `"node":"n","id":"i"`, 1),
		"other version":   strings.Replace(good, `"v":1`, `"v":2`, 1),
		"escape":          strings.Replace(good, `"id":"i"`, `"id":"\u0069"`, 1),
		"no end":          good[:len(good)-1],
	} {
		if _, _, err := ParseLeaf([]byte(bad)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestCheckpointIsANoteThatOthersRead(t *testing.T) {
	skey, vkey, err := note.GenerateKey(rand.Reader, "node-1")
	if err != nil {
		t.Fatal(err)
	}
	signer, _ := note.NewSigner(skey)
	verifier, _ := note.NewVerifier(vkey)
	want := Checkpoint{Origin: "node-1", Size: 12, Root: tlog.Hash{1}, After: tlog.Hash{2}}
	signed, err := note.Sign(&note.Note{Text: want.Text()}, signer)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range [][]byte{signed, []byte(n.Text)} {
		got, err := ParseCheckpoint(text)
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Error(err, d)
		}
	}
}

func TestFindNotesSeesThemBehindDamage(t *testing.T) {
	b := sample(t, 4, 100)
	_, n, _ := ParseHeader(b)
	b[n+50] ^= 1
	if got := FindNotes(b[n:]); len(got) != 4 {
		t.Errorf("%d checkpoints found", len(got))
	}
}

func FuzzScan(f *testing.F) {
	good := sample(f, 4, 64)
	f.Add(good)
	f.Add(sample(f, 2, 0))
	f.Add(good[:len(good)-80])
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := NewScan(b)
		if err != nil {
			return
		}
		var again []byte
		again = AppendHeader(again, s.Header)
		for {
			fr, err := s.Next()
			if err != nil {
				break
			}
			again = AppendFrame(again, fr)
		}
		if !bytes.Equal(again, b[:s.Offset]) {
			t.Error("what was read is not what is written again: two encodings of one ledger")
		}
		_ = FindNotes(s.Rest())
	})
}

func FuzzCheckpoint(f *testing.F) {
	f.Add([]byte(Checkpoint{Origin: "n", Size: 3}.Text()))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCheckpoint(b)
		if err != nil || bytes.Count(b, []byte("\n")) != 4 || !bytes.Contains(b, []byte("\n"+afterLine)) || !bytes.HasSuffix(b, []byte("\n")) {
			return
		}
		if c.Text() != string(b) {
			t.Errorf("%q is read as %q", b, c.Text())
		}
	})
}
