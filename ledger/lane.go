package ledger

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger/payload"
)

// maxFiled is how many bytes of payloads a record may bring along on a lane: more would
// keep others waiting.
const maxFiled = 1 << 20

// refSize is more than a payload's reference takes up in a record, without its
// role and media.
const refSize = 400

// lane is a connection on which many questions are under way. The ledger process
// answers in order, and does together what has arrived together: so there is one for
// all who wait for a flush, and one for all who need not.
type lane struct {
	writing sync.Mutex
	out     *pipe
	in      *pipe // of who reads

	mu      sync.Mutex
	waits   []chan answer // in the order of the questions
	reading bool          // somebody does, for all
	err     error         // why no question can be asked
}

type answer struct {
	payload []byte
	err     error
	lead    bool // it is none: who waits reads now
}

// lane returns the one of its kind, which the first question makes.
func (c *Client) lane(durable bool) (*lane, error) {
	c.laneing.Lock()
	defer c.laneing.Unlock()
	if err := c.Err(); err != nil {
		return nil, err
	}
	l := c.lanes[durable]
	if l == nil {
		p, err := connect(c.dirs)
		if err != nil {
			return nil, c.lost(err)
		}
		l = &lane{out: &pipe{conn: p.conn}, in: p}
		c.lanes[durable] = l
	}
	return l, nil
}

// ask sends a question and returns its answer. Of those who wait one reads for all,
// and hands that on with its own answer: who asks alone waits for nobody.
func (l *lane) ask(kind byte, parts ...[]byte) answer {
	w := make(chan answer, 1)
	if err := l.send(w, kind, parts); err != nil {
		return answer{err: err}
	}
	l.mu.Lock()
	first := !l.reading && len(w) == 0 // who read has not answered it and gone
	l.reading = l.reading || first
	l.mu.Unlock()
	if !first {
		if a := <-w; !a.lead {
			return a
		}
	}
	return l.read(w)
}

func (l *lane) send(w chan answer, kind byte, parts [][]byte) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	err := l.err
	if err == nil {
		l.waits = append(l.waits, w)
	}
	l.mu.Unlock()
	if err == nil && l.out.send(kind, parts...) != nil {
		_ = l.out.conn.Close() // who reads tells all that wait
	}
	return err
}

// read hands the answers out until mine has come, and all that have come with it.
func (l *lane) read(mine chan answer) (own answer) {
	for mine != nil || l.in.whole() {
		b, err := l.in.answer()
		l.mu.Lock()
		if countersign.CodeOf(err) == countersign.EInternal || len(l.waits) == 0 {
			l.fail(cmp.Or(err, errors.New("an answer without a question")))
			l.mu.Unlock()
			if mine == nil {
				return own
			}
			return <-mine
		}
		w := l.waits[0]
		l.waits = l.waits[1:]
		l.mu.Unlock()
		a := answer{payload: bytes.Clone(b), err: err}
		if w == mine {
			own, mine = a, nil
			continue
		}
		w <- a
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case len(l.waits) > 0:
		l.waits[0] <- answer{lead: true}
		return own
	case l.err != nil:
		_ = l.out.conn.Close()
	}
	l.reading = false
	return own
}

// fail tells all that wait that no answer comes. mu is held.
func (l *lane) fail(err error) {
	l.err = cmp.Or(l.err, err)
	for _, w := range l.waits {
		w <- answer{err: err}
	}
	l.waits = nil
	_ = l.out.conn.Close()
}

// leave takes no more questions and ends the lane after its last answer.
func (l *lane) leave(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = cmp.Or(l.err, err)
	if len(l.waits) == 0 {
		_ = l.out.conn.Close()
	}
}

// file appends a record with the plain text of its payloads, in one question.
func (c *Client) file(ctx context.Context, r countersign.Record, durable bool) (countersign.Receipt, error) {
	plains := r.Payloads
	r.Payloads = nil
	body := c.body()
	defer c.bodies.Put(body)
	if err := body.encode(r); err != nil {
		return countersign.Receipt{}, err
	}
	head, parts, err := payload.Enclose(plains)
	if err == nil && len(body.b)+len(head)+len(plains)*refSize > MaxBody {
		err = invalid(fmt.Errorf("it has %d bytes and %d payloads, more than %d bytes in all", len(body.b), len(plains), MaxBody))
	}
	if err != nil {
		return countersign.Receipt{}, err
	}
	if err := ctx.Err(); err != nil {
		return countersign.Receipt{}, closedErr(err)
	}
	l, err := c.lane(durable)
	if err != nil {
		return countersign.Receipt{}, c.ended(err)
	}
	var flags [5]byte
	if durable {
		flags[0] = 1
	}
	binary.BigEndian.PutUint32(flags[1:], uint32(len(body.b)))
	a := l.ask(askFile, append([][]byte{c.spool.extent().encode(), record(r.ID), flags[:], body.b, head}, parts...)...)
	var rec countersign.Receipt
	if a.err == nil {
		rec, a.err = receipt(a.payload)
	}
	return rec, c.ended(a.err)
}

// filed reports whether the payloads of a record go along with it: all of them
// with their plain text, and few bytes.
func filed(ps []countersign.Payload) bool {
	n := 0
	for _, p := range ps {
		if p.Plain == nil {
			return false
		}
		n += len(p.Plain)
	}
	return len(ps) > 0 && n <= maxFiled
}
