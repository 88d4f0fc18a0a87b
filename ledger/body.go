package ledger

import (
	"errors"
	"fmt"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger/book"
	"github.com/countersign/countersign/ledger/plain"
)

// bodyOf encodes a record without the fields that the ledger fills.
func bodyOf(r countersign.Record) (id string, body []byte, err error) {
	id = r.ID
	if body, err = plain.Body(&r); err != nil {
		return "", nil, invalid(err)
	}
	switch {
	case len(body) > MaxBody:
		return "", nil, invalid(fmt.Errorf("it has %d bytes, more than %d: payloads belong in blobs", len(body), MaxBody))
	case id != "" && !book.GoodID(id): // in a spool it would shut the ledger
		return "", nil, invalid(errors.New("its id is malformed"))
	}
	return id, body, nil
}

func invalid(err error) error {
	return &countersign.Error{Code: countersign.EInvalid, Op: "append record", Err: err}
}
