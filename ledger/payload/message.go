package payload

import (
	"encoding/binary"
	"errors"
	"math"

	countersign "github.com/countersign/countersign"
)

var errMessage = errors.New("a message of impossible form")

// Enclose makes the head of a message that brings payloads, which says what the bytes
// behind it are: u8 how many, then of each
// u8 length of the role, role, u16 length of the media type, media type, u32 length.
func Enclose(ps []countersign.Payload) (head []byte, parts [][]byte, err error) {
	head = append(make([]byte, 0, 64), byte(len(ps)))
	for _, p := range ps {
		if len(p.Role) > math.MaxUint8 || len(p.Media) > math.MaxUint16 || len(ps) > math.MaxUint8 {
			return nil, nil, &countersign.Error{Code: countersign.EInvalid, Op: "append record", Err: errors.New("a payload's role or media type is too long, or there are too many")}
		}
		head = append(append(head, byte(len(p.Role))), p.Role...)
		head = append(binary.BigEndian.AppendUint16(head, uint16(len(p.Media))), p.Media...)
		head = binary.BigEndian.AppendUint32(head, uint32(len(p.Plain)))
		parts = append(parts, p.Plain)
	}
	return head, parts, nil
}

// Disclose reads the head, and takes the bytes behind it for what it says.
func Disclose(b []byte) ([]countersign.Payload, error) {
	short := false
	take := func(n int) (out []byte) {
		if n > len(b) {
			short = true
			return make([]byte, n)
		}
		out, b = b[:n], b[n:]
		return out
	}
	ps := make([]countersign.Payload, take(1)[0])
	sizes := make([]int, len(ps))
	for i := range ps {
		ps[i].Role = string(take(int(take(1)[0])))
		ps[i].Media = string(take(int(binary.BigEndian.Uint16(take(2)))))
		sizes[i] = int(binary.BigEndian.Uint32(take(4)))
	}
	for i, n := range sizes {
		if short || n < 0 || n > len(b) {
			return nil, errMessage
		}
		ps[i].Plain = take(n)
	}
	if len(b) > 0 || len(ps) == 0 {
		return nil, errMessage
	}
	return ps, nil
}
