package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/atomicfile"
)

// Cursor is the last record that the receiver has: a file of ours, JSON,
// version 1.
type Cursor struct {
	Version int    `json:"version"`
	Node    string `json:"node"` // the ledger
	Seq     uint64 `json:"seq"`
	ID      string `json:"id"` // of that record

	path string
}

// OpenCursor reads a cursor's file; one that is not there stands before the
// first record, and is made when the receiver has taken the first batch.
func OpenCursor(path string) (*Cursor, error) {
	c := &Cursor{path: path}
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c, nil
	case err == nil:
		err = json.Unmarshal(b, c)
	}
	if err == nil && (c.Version != 1 || c.Seq == 0 || c.ID == "") {
		err = fmt.Errorf("it is no cursor of version 1")
	}
	if err != nil {
		return nil, &countersign.Error{Code: countersign.EInvalid, Op: "read the cursor", Thing: path, Err: err, Remedy: "name another file, or remove it to send everything again"}
	}
	return c, nil
}

// same refuses a ledger that has another record in the cursor's place.
func (c *Cursor) same(l Line) error {
	if l.ID == c.ID && l.Node == c.Node {
		return nil
	}
	return c.fault(fmt.Errorf("record %d of ledger %s is another than the one that was sent", l.Seq, l.Node))
}

func (c *Cursor) lost() error {
	return c.fault(fmt.Errorf("the ledger lacks record %d, which was sent", c.Seq))
}

func (c *Cursor) fault(err error) error {
	return &countersign.Error{
		Code: countersign.EVerify, Op: "go on behind the cursor", Thing: c.path, Err: err,
		Remedy: "this is another ledger, or it was cut or rolled back: `countersign verify`; to send this one whole, name a new cursor",
	}
}

// move keeps that the receiver has everything up to this record.
func (c *Cursor) move(l Line) error {
	c.Version, c.Node, c.Seq, c.ID = 1, l.Node, l.Seq, l.ID
	if c.path == "" {
		return nil
	}
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return atomicfile.Write(c.path, append(b, '\n'), 0o600)
}
