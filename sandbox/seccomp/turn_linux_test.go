//go:build amd64 || arm64

package seccomp

import "testing"

func TestTurnIsTakenFromWhoIsStuck(t *testing.T) {
	var tn Turn
	tn.Pass()
	tn.Take()
	for range 3 { // who answers is left alone
		if mark := tn.Begin(); !tn.End(mark) {
			t.Fatal("the turn was lost")
		}
		tn.Look()
	}
	mark := tn.Begin()
	tn.Look()
	if tn.free.Load() != 0 {
		t.Fatal("taken at the first look")
	}
	tn.Look()
	if tn.free.Load() != 1 {
		t.Fatal("a stuck thread keeps the turn")
	}
	tn.Take()
	if tn.End(mark) {
		t.Fatal("who was stuck believes that the turn is still theirs")
	}
	if mark := tn.Begin(); !tn.End(mark) {
		t.Fatal("the next one's turn was lost")
	}
}
