package countersign

import "context"

// Ledger is the audit trail as the rooms that report to it see it. Every error
// means that nothing may go on: the caller closes its door.
type Ledger interface {
	// Append writes a record. With durable it returns only after the record has
	// reached the disk (fdatasync); without, after it is in a file of the ledger
	// that outlives every process, to be flushed within 100 ms; then the receipt
	// may lack the number. The record's ID is kept if set. A payload with its plain
	// text is put first, as Blob does.
	Append(ctx context.Context, r Record, durable bool) (Receipt, error)
	// Blob stores a payload encrypted and returns the reference that a record
	// may carry. It is durable before any record that names it.
	Blob(ctx context.Context, role, media string, plain []byte) (Payload, error)
}

// Approver is a person's seat: it is told of requests and may answer them at
// the desk.
type Approver interface {
	// Waiting is called whenever the queue of open requests changes.
	Waiting(open []Request)
}

// Desk is the queue of requests. The first answer wins.
type Desk interface {
	Open(session string) []Request
	// Answer answers a request; digest, if not empty, must be the request's.
	Answer(id, digest string, a Approval) error
}
