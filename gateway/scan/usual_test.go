package scan

import (
	"strings"
	"testing"
	"unsafe"
)

// What is remembered keeps nothing of the request that it stood in.
func TestUsualTextsAreCopies(t *testing.T) {
	s := newScanner(t)
	line := "GET /v1/messages?" + strings.Repeat("q", 1<<20)
	if _, err := s.Outside(line[4:16], NewBudget(0)); err != nil {
		t.Fatal(err)
	}
	if len(s.usual.texts) != 1 {
		t.Fatalf("%d texts are remembered", len(s.usual.texts))
	}
	from := uintptr(unsafe.Pointer(unsafe.StringData(line)))
	for text := range s.usual.texts {
		if at := uintptr(unsafe.Pointer(unsafe.StringData(text))); at >= from && at < from+uintptr(len(line)) {
			t.Errorf("%q is a part of a line of %d bytes", text, len(line))
		}
	}
}
