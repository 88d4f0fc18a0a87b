package store

import (
	"os"
	"testing"
)

func TestAdopt(t *testing.T) {
	a, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sum, err := a.PutBytes([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if !b.Adopt(a, sum) || !b.Adopt(a, sum) || b.Flush() != nil {
		t.Error("not taken over")
	}
	if err := a.Sweep(func(string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Bytes(sum); err != nil || string(got) != "x" {
		t.Errorf("after the other let go of it: %q %v", got, err)
	}
	if b.Adopt(nil, sum) || a.Adopt(nil, sum) {
		t.Error("taken from nowhere")
	}
	// Damaged bytes are not taken over, nor do they pass for whole ones.
	c, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.file(sum), []byte("y"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err := Open(b.dir); err != nil || c.Adopt(again, sum) {
		t.Errorf("damaged bytes were taken over, %v", err)
	}
}
