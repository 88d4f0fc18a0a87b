// Package book writes the ledger: it opens and recovers a directory, gives each
// record its number, link and time, and makes records durable in groups.
//
// It promises: an Append with durable returns nil only after the record, a
// signed checkpoint over it and everything before it have been flushed; one
// without, after it is in the file; numbers are contiguous; after a failed
// write or flush nothing is written any more and nothing is tried again; what a
// crash left torn is kept aside and recorded. What stands beside the segments
// (payloads) is flushed with the records that refer to it, and may take a copy of
// these along, so that one flush is enough: the segment's own follows soon, and what a
// power cut takes from it in between comes back at the next start and is recorded.
// Which records a power cut has left without what they refer to is recorded too, and
// for none of them had a durable Append returned. It touches only the files behind its
// disk.FS, knows no record's meaning but the ledger's own few, and must never go on
// from a state that contradicts a checkpoint it has signed.
package book
