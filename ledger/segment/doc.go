// Package segment is the ledger's file format: frames, headers, names, the
// Merkle tree's frontier, and the scan that reads them. docs/formats/ledger.md
// gives the bytes.
//
// It promises that every byte of a segment is either covered by a checksum, a
// hash or a comparison, or must be zero, so that a scan finds any change of
// one. It works on bytes alone: no files, no clock, no keys. It must never take
// a frame for good that its checksum, number or link contradicts.
package segment
