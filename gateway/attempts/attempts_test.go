package attempts

import (
	"fmt"
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
