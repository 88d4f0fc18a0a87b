package attempts

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAttemptsSurviveTheEnd(t *testing.T) {
	path, key := filepath.Join(t.TempDir(), "d", "attempts.jsonl"), make([]byte, 32)
	at := time.Unix(1_800_000_000, 0)
	now := func() time.Time { return at }
	again := func() *Book {
		t.Helper()
		b, err := Open(path, key, now) // without Close, as after a kill
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	which := func(b *Book, p Print, n int, first string) {
		t.Helper()
		if gotN, got := b.Which(p); gotN != n || got != first {
			t.Errorf("attempt %d at %q, want %d at %q", gotN, got, n, first)
		}
	}
	lines := func(n int) { // come a moment later
		t.Helper()
		for until := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			raw, err := os.ReadFile(path)
			if got := strings.Count(string(raw), "\n"); err == nil && got == n {
				return
			} else if time.Now().After(until) {
				t.Fatalf("%d lines, want %d: %v", got, n, err)
			}
		}
	}
	b := again()
	p, q := b.Print("me", "POST", "/v1/messages", []byte("secret words")), b.Print("me", "POST", "/v1/messages", []byte("other"))
	which(b, p, 1, "")
	b.Sent(p, 1, "r1", "")
	b.Sent(q, 1, "r2", "")
	lines(3)
	b.Answered(q)
	soon := b.Print("me", "POST", "/v1/messages", []byte("answered at once"))
	b.Sent(soon, 1, "r4", "")
	b.Answered(soon)
	lines(4) // of which nothing tells of the one that was answered at once
	b = again()
	which(b, p, 2, "r1")
	which(b, q, 1, "")
	b.Sent(p, 2, "r3", "r1")
	lines(3)

	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, `{"k":"00`) // a write that a kill cut off
	f.Close()
	b = again()
	which(b, p, 3, "r1")
	which(b, b.Print("you", "POST", "/v1/messages", []byte("secret words")), 1, "")

	raw, err := os.ReadFile(path)
	if fi, serr := os.Stat(path); err != nil || serr != nil || fi.Mode().Perm() != 0o600 || strings.Contains(string(raw), "secret") {
		t.Errorf("%v %v %s", err, fi.Mode(), raw)
	}
	at = at.Add(forgotten + time.Second)
	which(b, p, 1, "")
	if b = again(); len(b.open) != 0 {
		t.Error("what is old is kept")
	}
	if err := os.WriteFile(path, []byte("{\"v\":2}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, key, now); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Error(err)
	}
}

// What the file says after the end is what was known, whatever came when.
func TestTheFileFollows(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		path, key := filepath.Join(t.TempDir(), "attempts.jsonl"), make([]byte, 32)
		known := func(b *Book) (out string) {
			for i := range 3 {
				n, first := b.Which(b.Print("me", "POST", "/", fmt.Append(nil, i)))
				out += fmt.Sprintf("attempt %d at %q; ", n, first)
			}
			return out
		}
		b, err := Open(path, key, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		for step := range 60 {
			p := b.Print("me", "POST", "/", fmt.Append(nil, r.IntN(3)))
			switch r.IntN(5) {
			case 0, 1:
				n, first := b.Which(p)
				b.Sent(p, n, fmt.Sprint(step), first)
			case 2, 3:
				b.Answered(p)
			case 4:
				b.catchUp()
			}
		}
		want := known(b)
		b.Close()
		if b, err = Open(path, key, time.Now); err != nil {
			t.Fatal(err)
		}
		if got := known(b); got != want {
			t.Fatalf("seed %d: %s, want %s", seed, got, want)
		}
		b.Close()
	}
}

// What is forgotten because it is too much is forgotten in the file as well.
func TestTheFileForgets(t *testing.T) {
	path, key := filepath.Join(t.TempDir(), "attempts.jsonl"), make([]byte, 32)
	b, err := Open(path, key, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxOpen + 1 {
		b.Sent(b.Print("me", "POST", "/", fmt.Append(nil, i)), 1, "r", "")
		if i == maxOpen/2 {
			b.catchUp()
		}
	}
	again := b.Print("me", "POST", "/", fmt.Append(nil, 7))
	b.Sent(again, 1, "second", "")
	b.Answered(again)
	for i := range 3500 {
		b.Sent(b.Print("you", "POST", "/", fmt.Append(nil, i)), 1, "r", "")
	}
	b.Close()
	if b, err = Open(path, key, time.Now); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if n, first := b.Which(again); n != 1 || len(b.open) != 3501 {
		t.Errorf("attempt %d at %q, %d open", n, first, len(b.open))
	}
}

// A write that fails is made good by writing the file anew.
func TestTheFileIsMadeGood(t *testing.T) {
	path, key := filepath.Join(t.TempDir(), "attempts.jsonl"), make([]byte, 32)
	b, err := Open(path, key, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	p, q := b.Print("me", "POST", "/", []byte("p")), b.Print("me", "POST", "/", []byte("q"))
	b.Sent(p, 1, "r1", "")
	b.catchUp()
	b.f.Close() // as a disk that fails
	b.Answered(p)
	b.Sent(q, 1, "r2", "")
	b.catchUp()
	b.Close()
	if b, err = Open(path, key, time.Now); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	n, _ := b.Which(p)
	if m, _ := b.Which(q); n != 1 || m != 2 {
		t.Errorf("attempts %d and %d", n, m)
	}
}

func TestTheFileIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "attempts.jsonl")
	b, err := Open(path, make([]byte, 32), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for i := range 3 * maxFile / 200 {
		p := b.Print("me", "POST", "/", fmt.Append(nil, i))
		b.Sent(p, 1, "record-of-the-first-attempt", "")
		b.catchUp()
		b.Answered(p)
		b.catchUp()
	}
	if fi, err := os.Stat(path); err != nil || fi.Size() > maxFile+1024 || len(b.open) > maxOpen {
		t.Errorf("%d bytes, %d open, %v", fi.Size(), len(b.open), err)
	}
	other := New([]byte("another key"), time.Now)
	if other.Print("me", "POST", "/", nil) == b.Print("me", "POST", "/", nil) {
		t.Error("the name of a request does not hang on the key")
	}
}
