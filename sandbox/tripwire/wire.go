package tripwire

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/countersign/countersign"
)

// The control socket carries one message per packet (SOCK_SEQPACKET). Both ends
// are the same binary, so the format has no version: the first byte is the kind,
// numbers are uvarints, strings are length and bytes (paths and arguments need
// not be UTF-8).
const (
	msgAdd    = 1 // session → server: node
	msgRemove = 2 // session → server: id
	msgAck    = 3 // server → session: id, error text
	msgEvent  = 4 // server → session: event
	msgReady  = 5 // server → session: the kernel has greeted
	msgShelve = 6 // session → server: id of a shelf, files

	maxMessage = 64 << 10
)

var (
	errWire    = errors.New("malformed message on the tripwire's control socket")
	errNoShelf = errors.New("no such shelf")
)

type encoder struct{ b []byte }

func (e *encoder) u(v uint64) { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) s(v string) { e.u(uint64(len(v))); e.b = append(e.b, v...) }
func (e *encoder) t(v time.Time) {
	e.b = binary.AppendVarint(e.b, v.Unix())
	e.u(uint64(v.Nanosecond()))
}

// decoder turns every malformed input into errWire and zero values.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) u() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.b, d.err = nil, errWire
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) s() string {
	n := d.u()
	if n > uint64(len(d.b)) {
		d.b, d.err = nil, errWire
		return ""
	}
	v := string(d.b[:n])
	d.b = d.b[n:]
	return v
}

func (d *decoder) t() time.Time {
	sec, n := binary.Varint(d.b)
	if n <= 0 {
		d.b, d.err = nil, errWire
		return time.Time{}
	}
	d.b = d.b[n:]
	return time.Unix(sec, int64(d.u()))
}

func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		d.err = errWire
	}
	return d.err
}

func encodeNode(n Node) []byte {
	e := &encoder{b: []byte{msgAdd}}
	e.u(n.ID)
	e.s(n.Path)
	e.s(n.Rule)
	a := n.Attr
	e.u(uint64(a.Mode))
	e.u(uint64(a.Size))
	e.t(a.Mtime)
	e.t(a.Ctime)
	e.t(a.Atime)
	e.u(a.Ino)
	e.u(uint64(a.UID))
	e.u(uint64(a.GID))
	e.u(uint64(a.Nlink))
	dir := uint64(0)
	if a.Dir {
		dir = 1
	}
	e.u(dir)
	e.u(uint64(n.Maker))
	return e.b
}

func decodeNode(b []byte) (Node, error) {
	d := &decoder{b: b}
	n := Node{ID: d.u(), Path: d.s(), Rule: d.s()}
	n.Attr = Attr{
		Mode: uint32(d.u()), Size: int64(d.u()), Mtime: d.t(), Ctime: d.t(), Atime: d.t(),
		Ino: d.u(), UID: uint32(d.u()), GID: uint32(d.u()), Nlink: uint32(d.u()), Dir: d.u() != 0,
	}
	n.Maker = int(d.u())
	return n, d.end()
}

// encodeShelved packs as many files as a message holds, and returns the rest.
func encodeShelved(shelf uint64, files []Shelved) (msg []byte, rest []Shelved) {
	e := &encoder{b: []byte{msgShelve}}
	e.u(shelf)
	for i, f := range files {
		one := &encoder{}
		one.s(f.Dir)
		one.s(f.Name)
		one.s(string(f.Content))
		one.u(f.Node)
		one.s(f.Path)
		one.s(f.Rule)
		one.s(map[bool]string{true: "free"}[f.Free])
		if i > 0 && len(e.b)+len(one.b) > maxMessage {
			return e.b, files[i:]
		}
		e.b = append(e.b, one.b...)
	}
	return e.b, nil
}

func decodeShelved(b []byte) (shelf uint64, files []Shelved, err error) {
	d := &decoder{b: b}
	shelf = d.u()
	for d.err == nil && len(d.b) > 0 {
		files = append(files, Shelved{Dir: d.s(), Name: d.s(), Content: []byte(d.s()), Node: d.u(), Path: d.s(), Rule: d.s(), Free: d.s() != ""})
	}
	return shelf, files, d.end()
}

func encodeEvent(v Event) []byte {
	e := &encoder{b: append(make([]byte, 0, 256), msgEvent)}
	e.u(v.Node)
	e.s(v.Path)
	e.s(v.Rule)
	e.s(v.Op)
	e.t(v.Time)
	e.u(uint64(v.TID))
	e.u(uint64(v.Peer.PID))
	e.u(v.Peer.Start)
	e.u(uint64(v.Peer.UID))
	e.s(v.Peer.Exe)
	e.u(uint64(len(v.Peer.Argv)))
	for _, a := range v.Peer.Argv {
		e.s(a)
	}
	return e.b
}

func decodeEvent(b []byte) (Event, error) {
	d := &decoder{b: b}
	v := Event{Node: d.u(), Path: d.s(), Rule: d.s(), Op: d.s(), Time: d.t(), TID: int(d.u()), Count: 1}
	v.Last = v.Time
	v.Peer = countersign.Peer{PID: int(d.u()), Start: d.u(), UID: int(d.u()), Exe: d.s()}
	for n := d.u(); n > 0 && d.err == nil; n-- {
		v.Peer.Argv = append(v.Peer.Argv, d.s())
	}
	return v, d.end()
}

func encodeAck(id uint64, text string) []byte {
	e := &encoder{b: []byte{msgAck}}
	e.u(id)
	e.s(text)
	return e.b
}
