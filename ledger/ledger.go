// Package ledger is the audit trail: an append-only file of records, each bound
// to all before it, with signed checkpoints, and a process that alone writes it.
//
// It promises: Append with durable returns only after the record is on the
// disk; numbers are contiguous; what was acknowledged is there after any crash
// (a power cut may cost the last 100 ms of what was not asked to be durable); a
// failed write or flush ends the ledger process and with it every client; any
// changed byte of a segment is found by Verify, and what Verify cannot know it
// says. It touches one directory and one socket. It knows no record's meaning,
// keeps no payload's plain text, and must never drop, rewrite or retry.
//
// Below it: segment is the format, disk the file layer, book the writer, spool
// the way in of what nobody waits for, payload what records refer to.
package ledger

import (
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger/payload"
	"github.com/countersign/countersign/ledger/segment"
)

// Dirs says where a ledger is.
type Dirs struct {
	State  string // its directory: segments, checkpoints, blobs, key
	Socket string // of the ledger process; at most about 100 bytes long
}

// MaxBody is how many bytes of JSON a record may have before the ledger adds
// its own fields. What is longer is refused: it belongs in a blob.
const MaxBody = segment.MaxLeaf - 512

// MaxBlob is the largest payload, in bytes of plain text.
const MaxBlob = 64 << 20

// version of the protocol between client and ledger process.
const version = 4

// grace is how long the ledger process waits for another client after the last
// has gone, patience how long it waits for the first. farewell is how long a
// ledger process that ends waits for clients to take its last word, and a client
// for that word; greeting is how long a client waits for its first.
const (
	grace    = time.Second
	patience = 10 * time.Second
	farewell = time.Second
	greeting = 15 * time.Second
)

// OpenBlob returns the plain text of a payload, after checking that it is what
// the reference commits to.
func OpenBlob(dir string, p countersign.Payload) ([]byte, error) { return payload.Open(dir, p) }

func closedErr(err error) error {
	return &countersign.Error{
		Code: countersign.EClosed, Op: "write to the ledger", Err: err,
		Remedy: "end this session and start again: the next start checks the ledger and records what it found",
	}
}
