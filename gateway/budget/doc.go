// Package budget keeps what models may cost, use and be asked within the limits
// of policy.
//
// It promises: a call is let go only while what was spent and what calls in
// flight have reserved lies below every limit that covers it, so that a limit is
// passed at most by the one call that crossed it and by what calls use beyond
// their reservation; that holds over all processes that share the file; what was
// spent survives their end, a kill included, and what a killed call had reserved
// counts as spent; a file that cannot be read or written lets nothing go.
//
// The file is a journal of JSON lines, one write each: {"o":"hold"} reserves,
// {"o":"end"} puts what was used in its place, {"o":"sum"} is what lines before
// it came to. It is flushed once a second, not with each line: a power cut may
// forget the last second. It is working state, not evidence: what each call cost
// is on record in the ledger.
//
// It may touch only the file it is given, and the lock beside it.
package budget
