package ledger

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"sync"

	countersign "github.com/countersign/countersign"
)

// laneRoom is what a connection with such questions reads at once.
const laneRoom = 256 << 10

// fileAll answers a record that brings its payloads, and all others of that kind
// that have arrived behind it: they share the flushes.
func (s *server) fileAll(p *pipe, first []byte) error {
	p.full = laneRoom
	msgs := [][]byte{first}
	for more, ok := p.next(askFile); ok; more, ok = p.next(askFile) {
		msgs = append(msgs, more)
	}
	outs, errs := make([][]byte, len(msgs)), make([]error, len(msgs))
	var all sync.WaitGroup
	for i := range msgs[1:] {
		all.Go(func() { outs[i+1], errs[i+1] = s.file(msgs[i+1]) })
	}
	outs[0], errs[0] = s.file(first)
	all.Wait()
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

// file writes the payloads, then appends the record with their references: the
// book flushes both together. A power cut may take payloads of records that no
// flush had returned for; the next start says which.
func (s *server) file(msg []byte) ([]byte, error) {
	m, rest, err := splitExtent(msg)
	if err == nil {
		err = s.in.take(m)
	}
	var id string
	if err == nil {
		id, rest, err = splitRecord(rest)
	}
	if err != nil || len(rest) < 5 || uint64(len(rest)-5) < uint64(binary.BigEndian.Uint32(rest[1:])) {
		return nil, closedErr(cmp.Or(err, errForm))
	}
	durable, n := rest[0] == 1, binary.BigEndian.Uint32(rest[1:])
	body := rest[5 : 5+n]
	plain, err := splitPayloads(rest[5+n:])
	if err != nil {
		return nil, closedErr(err)
	}
	refs, err := s.blobs.Write(plain...)
	if err != nil {
		return nil, err
	}
	listed, err := json.Marshal(refs)
	if err != nil {
		return nil, closedErr(err)
	}
	whole, ok := bytes.CutSuffix(body, []byte("}"))
	if !ok {
		return nil, invalid(errForm)
	}
	whole = append(append(append(bytes.Clone(whole), `,"payloads":`...), listed...), '}')
	r, err := s.book.Append(id, whole, durable)
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint64(nil, r.Seq), r.ID...), nil
}
