// Package countersign holds the nouns of the product: what an agent attempts
// (Action), what policy says of it (Verdict), what a person answers (Approval),
// the right to carry it out (Permit), what is kept of it (Record), and the
// pieces of a change (Hunk, Changeset).
//
// It promises that every room means the same thing by the same word, and that
// the digests of this package are stable: they are computed over canonical
// JSON (RFC 8785) and are part of the on-disk format, version 1.
//
// It imports the standard library only and does nothing: no I/O, no clock, no
// randomness, no global state.
package countersign
