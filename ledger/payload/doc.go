// Package payload keeps what records refer to and do not hold: prompts, answers,
// outputs, diffs. Each is a blob sealed under a key of its own, which is wrapped
// under the month's.
//
// It promises: Put returns only after the blob is durable, so that no record can
// point at one that a crash or a power cut may take; whoever waits at the same
// time shares one write and one flush, of a pack; what Open returns is what the
// record commits to; a blob can be made unreadable by destroying its own key, all
// of a month by destroying the month's. After a failed write or flush nothing is
// put any more, and nothing is tried again. It touches blobs/ and key/ of the
// ledger's directory, keeps no plain text, and never moves or removes a blob.
package payload
