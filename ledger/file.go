package ledger

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger/payload"
	"github.com/countersign/countersign/ledger/plain"
)

// laneRoom is what a connection with such questions reads at once.
const laneRoom = 256 << 10

// fileAll answers a record that brings its payloads, and all others of that kind
// that have arrived behind it: they are written in this order, and flushed once.
func (s *server) fileAll(p *pipe, first []byte) error {
	p.full = laneRoom
	msgs := [][]byte{first}
	for more, ok := p.next(askFile); ok; more, ok = p.next(askFile) {
		msgs = append(msgs, more)
	}
	outs, errs := make([][]byte, len(msgs)), make([]error, len(msgs))
	waited, last := uint64(0), uint64(0) // the last record that somebody waits for, and of all
	for i, msg := range msgs {
		r, durable, err := s.file(msg)
		if errs[i] = err; err != nil {
			continue
		}
		outs[i], last = append(binary.BigEndian.AppendUint64(nil, r.Seq), r.ID...), r.Seq
		if durable {
			waited = r.Seq
		}
	}
	if err := s.written(waited, last); err != nil {
		for i := range errs {
			errs[i] = cmp.Or(errs[i], err)
		}
	}
	for i, err := range errs {
		kind, out := byte(okay), outs[i]
		if err != nil {
			kind, out = failed, encodeError(err)
		}
		end := err != nil && countersign.CodeOf(err) != countersign.EInvalid
		if !end && i < len(msgs)-1 {
			p.add(kind, out)
			continue
		}
		if serr := p.send(kind, out); serr != nil || end {
			return errors.Join(err, serr)
		}
	}
	return nil
}

// written returns when the records are in the file, and durable up to the last that is
// waited for; 0: none is.
func (s *server) written(waited, last uint64) (err error) {
	if waited > 0 {
		err = s.book.Commit(waited)
	}
	if err == nil && last > waited {
		err = s.book.Write()
	}
	return err
}

// file writes the payloads, then puts the record with their references; the
// book flushes both together, for who waits (durable) or soon. A power cut may take
// payloads of records that no flush had returned for; the next start says which.
func (s *server) file(msg []byte) (r countersign.Receipt, durable bool, err error) {
	m, rest, err := splitExtent(msg)
	if err == nil {
		err = s.in.take(m)
	}
	var id string
	if err == nil {
		id, rest, err = splitRecord(rest)
	}
	if err != nil || len(rest) < 5 || uint64(len(rest)-5) < uint64(binary.BigEndian.Uint32(rest[1:])) {
		return r, false, closedErr(cmp.Or(err, errForm))
	}
	n := binary.BigEndian.Uint32(rest[1:])
	durable = rest[0] == 1
	body := rest[5 : 5+n]
	ps, err := payload.Disclose(rest[5+n:])
	if err != nil {
		return r, false, closedErr(err)
	}
	refs, err := s.blobs.Write(ps...)
	if err != nil {
		return r, false, err
	}
	whole, ok := bytes.CutSuffix(body, []byte("}"))
	if !ok {
		return r, false, invalid(errForm)
	}
	whole = append(append(make([]byte, 0, len(body)+refSize*len(refs)), whole...), `,"payloads":`...)
	if whole, err = plain.Payloads(whole, refs); err != nil {
		return r, false, closedErr(err)
	}
	whole = append(whole, '}')
	r, err = s.book.Put(id, whole)
	return r, durable, err
}
