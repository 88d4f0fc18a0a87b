package ledger

import (
	"errors"
	"fmt"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger/book"
	"github.com/countersign/countersign/ledger/plain"
)

// body is what a record is encoded in, again and again.
type body struct{ b []byte }

// body returns one that nobody uses; it is given back to bodies.
func (c *Client) body() *body {
	if b, ok := c.bodies.Get().(*body); ok {
		return b
	}
	return &body{make([]byte, 0, 1536)}
}

// encode encodes a record without the fields that the ledger fills.
func (b *body) encode(r countersign.Record) (err error) {
	if b.b, err = plain.Body(b.b[:0], &r); err != nil {
		return invalid(err)
	}
	switch {
	case len(b.b) > MaxBody:
		return invalid(fmt.Errorf("it has %d bytes, more than %d: payloads belong in blobs", len(b.b), MaxBody))
	case r.ID != "" && !book.GoodID(r.ID): // in a spool it would shut the ledger
		return invalid(errors.New("its id is malformed"))
	}
	return nil
}

func invalid(err error) error {
	return &countersign.Error{Code: countersign.EInvalid, Op: "append record", Err: err}
}
