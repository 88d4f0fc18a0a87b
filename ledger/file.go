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
	waits := false
	for i, msg := range msgs {
		var durable bool
		outs[i], durable, errs[i] = s.file(msg)
		waits = waits || durable && errs[i] == nil
	}
	if err := s.written(waits); err != nil {
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

// written brings the records into the file, and flushes them if one of them is waited
// for.
func (s *server) written(waits bool) error {
	if !waits {
		return s.book.Write()
	}
	s.blobs.Start() // while the records are signed
	return s.book.Flush()
}

// file writes the payloads, then puts the record with their references; the
// book flushes both together, for who waits (durable) or soon. A power cut may take
// payloads of records that no flush had returned for; the next start says which.
func (s *server) file(msg []byte) (out []byte, durable bool, err error) {
	m, rest, err := splitExtent(msg)
	if err == nil {
		err = s.in.take(m)
	}
	var id string
	if err == nil {
		id, rest, err = splitRecord(rest)
	}
	if err != nil || len(rest) < 5 || uint64(len(rest)-5) < uint64(binary.BigEndian.Uint32(rest[1:])) {
		return nil, false, closedErr(cmp.Or(err, errForm))
	}
	n := binary.BigEndian.Uint32(rest[1:])
	durable = rest[0] == 1
	body := rest[5 : 5+n]
	ps, err := payload.Disclose(rest[5+n:])
	if err != nil {
		return nil, false, closedErr(err)
	}
	refs, err := s.blobs.Write(ps...)
	if err != nil {
		return nil, false, err
	}
	whole, ok := bytes.CutSuffix(body, []byte("}"))
	if !ok {
		return nil, false, invalid(errForm)
	}
	whole = append(append(make([]byte, 0, len(body)+refSize*len(refs)), whole...), `,"payloads":`...)
	if whole, err = plain.Payloads(whole, refs); err != nil {
		return nil, false, closedErr(err)
	}
	whole = append(whole, '}')
	r, err := s.book.Put(id, whole)
	if err != nil {
		return nil, false, err
	}
	return append(binary.BigEndian.AppendUint64(nil, r.Seq), r.ID...), durable, nil
}
