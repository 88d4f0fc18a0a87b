package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger/book"
)

// blank is how encoding/json begins a Record whose ledger fields are empty.
const blank = `{"v":0,"id":"","node":"","epoch":0,"seq":0,"prev":"","t":{"wall":"","mono_ns":0},`

// bodyOf encodes a record without the fields that the ledger fills.
func bodyOf(r countersign.Record) (id string, body []byte, err error) {
	id = r.ID
	r.V, r.ID, r.Node, r.Epoch, r.Seq, r.Prev, r.T = 0, "", "", 0, 0, "", countersign.Time{}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // so that && is found as it was typed
	if err := enc.Encode(r); err != nil {
		return "", nil, invalid(err)
	}
	body, ok := bytes.CutPrefix(bytes.TrimSpace(buf.Bytes()), []byte(blank))
	switch {
	case !ok:
		return "", nil, invalid(fmt.Errorf("its encoding begins with %.60s", buf.Bytes()))
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
