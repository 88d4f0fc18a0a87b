// Package book writes the ledger: it opens and recovers a directory, gives each
// record its number, link and time, and makes records durable in groups.
//
// It promises: an Append with durable returns nil only after the record, a
// signed checkpoint over it and everything before it have been flushed; one
// without, after it is in the file; numbers are contiguous; after a failed
// write or flush nothing is written any more and nothing is tried again; what a
// crash left torn is kept aside and recorded. What stands beside the segments
// (payloads) is flushed with the records that refer to it; which of these a power
// cut has left without is recorded, and for none of them had a durable Append
// returned. It touches only the files behind its disk.FS, knows no record's
// meaning but the ledger's own few, and must never go on from a state that
// contradicts a checkpoint it has signed.
package book
