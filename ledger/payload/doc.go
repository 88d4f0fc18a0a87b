// Package payload keeps what records refer to and do not hold: prompts, answers,
// outputs, diffs. Each is a blob sealed under a key of its own, which is wrapped
// under the month's.
//
// It promises: Put returns only after the blob is durable, Write before, and
// Flush after all that was written is, so that a record can be flushed with what
// it points at; whoever waits at the same time shares one flush, of a pack; a Copy
// of the records that was kept is durable with it, and Copied finds it; what a power
// cut has taken nevertheless, of a record that no flush had returned for, Lost finds;
// what Open returns is what the record commits to; a blob can be made unreadable by
// destroying its own key, all of a month by destroying the month's. After a failed
// write or flush nothing is put any more, and nothing is tried again. It touches
// blobs/ and key/ of the ledger's directory, keeps no plain text, and never moves or
// removes a blob.
package payload
