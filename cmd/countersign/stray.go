package main

import (
	"bytes"
	"io"
)

// stray takes what net/http says by itself. Of a server that sends what nobody
// asked for it repeats the bytes, which may hold a key: these lines are dropped.
type stray struct{ io.Writer }

func (s stray) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("Unsolicited response")) {
		return len(b), nil
	}
	return s.Writer.Write(b)
}
