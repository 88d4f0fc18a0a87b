package ledger

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"net"

	countersign "github.com/countersign/countersign"
)

// A message is u32 length, one byte of kind, payload; big-endian. The client
// asks, the ledger process answers each question in order, except nudges, which
// have no answer while all is well. An extent says how far the client's spool is to
// be taken in first: u64 end, u8 length of the name, name.
const (
	askHello  = 'h' // u16 lowest, u16 highest version → okay + u16 version
	askAppend = 'a' // extent, id, body; the answer comes when it is in the file
	askCommit = 'c' // the same; when it is durable
	askNudge  = 'n' // extent; no answer
	askTurn   = 't' // extent → okay, when all of this spool is taken in and it is gone
	askBlob   = 'b' // JSON of role and media, plain bytes → JSON of the reference
	askFile   = 'r' // extent, id, u8 durable, u32 length, body, what its payloads are (payload.Enclose), plain bytes → as askAppend
	askDone   = 'd' // extent → okay, after all before it is durable
	okay      = 'o'
	failed    = 'f' // JSON of wireError
)

const maxMessage = MaxBlob + 64<<10

// wireError carries an error that a person reads across the socket.
type wireError struct {
	Code   countersign.Code `json:"code"`
	Op     string           `json:"op"`
	Thing  string           `json:"thing,omitempty"`
	Remedy string           `json:"remedy,omitempty"`
	Cause  string           `json:"cause"`
}

func encodeError(err error) []byte {
	w := wireError{Code: countersign.CodeOf(err), Op: "use the ledger", Remedy: countersign.RemedyOf(err), Cause: err.Error()}
	var e *countersign.Error
	if errors.As(err, &e) && e == err {
		w.Op, w.Thing, w.Cause = e.Op, e.Thing, "unknown"
		if e.Err != nil {
			w.Cause = e.Err.Error()
		}
	}
	b, _ := json.Marshal(w) // strings only: cannot fail
	return b
}

func decodeError(b []byte) error {
	var w wireError
	if err := json.Unmarshal(b, &w); err != nil {
		return closedErr(errors.New("the ledger process answered what cannot be read"))
	}
	return &countersign.Error{Code: w.Code, Op: w.Op, Thing: w.Thing, Remedy: w.Remedy, Err: errors.New(w.Cause)}
}

// pipe is one connection, used by one goroutine at a time.
type pipe struct {
	conn net.Conn
	in   []byte // read; from at on not yet taken
	at   int
	want int    // bytes of the message that was returned last
	out  []byte // scratch for sending
	full int    // room for reading, at least
	// spool is, in the ledger process, the client's that has this connection as
	// its line.
	spool string
}

// keep is the largest buffer that a pipe keeps between messages.
const keep = 1 << 20

// send writes one message with one write, behind those that were added.
func (p *pipe) send(kind byte, parts ...[]byte) error {
	p.add(kind, parts...)
	_, err := p.conn.Write(p.out)
	if p.out = p.out[:0]; cap(p.out) > keep {
		p.out = nil
	}
	return err
}

// add puts a message in front of the next that is sent.
func (p *pipe) add(kind byte, parts ...[]byte) {
	n := 1
	for _, x := range parts {
		n += len(x)
	}
	p.out = append(binary.BigEndian.AppendUint32(p.out, uint32(n)), kind)
	for _, x := range parts {
		p.out = append(p.out, x...)
	}
}

// receive returns the next message; the payload is good until the next call.
func (p *pipe) receive() (kind byte, payload []byte, err error) {
	p.at += p.want
	p.want = 0
	for {
		have := p.in[p.at:]
		need := 4
		if len(have) >= 4 {
			size := int(binary.BigEndian.Uint32(have))
			if size < 1 || size > maxMessage {
				return 0, nil, errors.New("a message of impossible length")
			}
			if need = 4 + size; len(have) >= need {
				p.want = need
				return have[4], have[5:need], nil
			}
		}
		p.room(need)
		n, err := p.conn.Read(p.in[len(p.in):cap(p.in)])
		if err != nil {
			return 0, nil, err
		}
		p.in = p.in[:len(p.in)+n]
	}
}

// whole reports whether another message has arrived.
func (p *pipe) whole() bool {
	have := p.in[p.at+p.want:]
	return len(have) >= 4 && uint64(len(have)) >= 4+uint64(binary.BigEndian.Uint32(have))
}

// next returns another message of this kind that has arrived whole; it and those
// before it are good until the next receive.
func (p *pipe) next(kind byte) (payload []byte, ok bool) {
	have := p.in[p.at+p.want:]
	if !p.whole() {
		return nil, false
	}
	size := int(binary.BigEndian.Uint32(have))
	if size < 1 || size > maxMessage || have[4] != kind {
		return nil, false // receive will say what it is
	}
	p.want += 4 + size
	return have[5 : 4+size], true
}

// room makes place for a message of need bytes behind at.
func (p *pipe) room(need int) {
	have := p.in[p.at:]
	if len(have) == 0 && cap(p.in) >= need && cap(p.in) <= keep {
		p.in, p.at = p.in[:0], 0
		return
	}
	if cap(p.in)-p.at < need {
		p.in, p.at = append(make([]byte, 0, max(need, 32<<10, p.full)), have...), 0
	}
}

// record encodes an id; the body follows it.
func record(id string) []byte { return append([]byte{byte(len(id))}, id...) }

// extent is how far a spool is to be taken in.
type extent struct {
	name string // empty: there is none
	end  int64
}

func (m extent) encode() []byte {
	return append(append(binary.BigEndian.AppendUint64(nil, uint64(m.end)), byte(len(m.name))), m.name...)
}

func splitExtent(b []byte) (m extent, rest []byte, err error) {
	if len(b) < 9 || len(b) < 9+int(b[8]) {
		return extent{}, nil, errForm
	}
	n := 9 + int(b[8])
	return extent{name: string(b[9:n]), end: int64(binary.BigEndian.Uint64(b))}, b[n:], nil
}

var errForm = errors.New("a message of impossible form")

func splitRecord(b []byte) (id string, body []byte, err error) {
	if len(b) < 1 || len(b) < 1+int(b[0]) {
		return "", nil, errForm
	}
	n := int(b[0])
	return string(b[1 : 1+n]), b[1+n:], nil
}
