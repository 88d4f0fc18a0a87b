package tripwire

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign"
)

func TestWireKeepsEveryField(t *testing.T) {
	at := time.Unix(-5, 123456789)
	n := Node{ID: 1 << 60, Path: "/p/\xff\n.env", Rule: "r", Attr: Attr{
		Mode: 0o100644, Size: 1 << 40, Mtime: at, Ctime: at.Add(1), Atime: at.Add(2), Ino: 1<<64 - 1, UID: 1<<32 - 1, GID: 7, Nlink: 2, Dir: true,
	}}
	got, err := decodeNode(encodeNode(n)[1:])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(n, got); diff != "" {
		t.Error(diff)
	}
	e := Event{
		Node: 3, Path: "/p", Rule: "r", Op: OpRead, TID: 8, Time: at, Last: at, Count: 1,
		Peer: countersign.Peer{PID: 7, Start: 9, UID: 65534, Exe: "/bin/\xfe", Argv: []string{"", "a\nb", "\xff"}},
	}
	gotE, err := decodeEvent(encodeEvent(e)[1:])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e, gotE); diff != "" {
		t.Error(diff)
	}
	var files, gotF []Shelved
	for i := range 900 {
		files = append(files, Shelved{Dir: "ab", Name: "c\xff", Content: make([]byte, i), Node: uint64(i), Path: "/p\n", Rule: "r"})
	}
	for rest := files; len(rest) > 0; {
		var msg []byte
		if msg, rest = encodeShelved(7, rest); len(msg) > maxMessage {
			t.Fatalf("a message of %d bytes", len(msg))
		}
		id, some, err := decodeShelved(msg[1:])
		if err != nil || id != 7 {
			t.Fatal(id, err)
		}
		gotF = append(gotF, some...)
	}
	if diff := cmp.Diff(files, gotF); diff != "" {
		t.Error(diff)
	}
}

func FuzzWire(f *testing.F) {
	f.Add(encodeNode(Node{ID: 1, Path: "/x"})[1:])
	f.Add(encodeEvent(Event{Node: 1, Peer: countersign.Peer{Argv: []string{"a"}}})[1:])
	msg, _ := encodeShelved(1, []Shelved{{Dir: "a", Name: "b", Content: []byte("c")}})
	f.Add(msg[1:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, files, err := decodeShelved(b); err == nil {
			if msg, rest := encodeShelved(id, files); len(rest) == 0 {
				if _, again, err := decodeShelved(msg[1:]); err != nil || len(again) != len(files) {
					t.Error(err)
				}
			}
		}
		if e, err := decodeEvent(b); err == nil {
			again, err := decodeEvent(encodeEvent(e)[1:])
			if diff := cmp.Diff(e, again); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
		}
		if n, err := decodeNode(b); err == nil {
			if _, err := decodeNode(encodeNode(n)[1:]); err != nil {
				t.Error(err)
			}
		}
	})
}
