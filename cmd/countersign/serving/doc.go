// Package serving is the standing gateway while it runs: one model door for many
// agents, on the loopback or, with TLS, for a team. It opens the ledger, puts
// its start on record, serves the same gateway that a session has, and ends in
// order: no new call, the open ones to their end or to the end of the patience
// for them, each with its record, then the record of its own end.
//
// It promises that nothing is served before its start is on record, that who
// has no token of the store is refused and recorded, that a ledger that is gone
// ends it at once, and that a start finds what a gateway that was killed left
// open. It decides nothing, and starts no agent.
package serving
