package main

import (
	"bytes"
	"log"
	"testing"
)

func TestStrayBytesAreNotRepeated(t *testing.T) {
	var out bytes.Buffer
	l := log.New(stray{&out}, "", 0)
	l.Printf("Unsolicited response received on idle HTTP channel starting with %q; err=%v", "HTTP/1.1 200 OK\r\nX: a key", error(nil))
	l.Print("http: panic serving")
	if out.String() != "http: panic serving\n" {
		t.Errorf("%q", out.String())
	}
}
