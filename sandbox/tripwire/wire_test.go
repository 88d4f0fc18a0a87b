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
}

func FuzzWire(f *testing.F) {
	f.Add(encodeNode(Node{ID: 1, Path: "/x"})[1:])
	f.Add(encodeEvent(Event{Node: 1, Peer: countersign.Peer{Argv: []string{"a"}}})[1:])
	f.Fuzz(func(t *testing.T, b []byte) {
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
