// Package egress is the network door of a session: a proxy inside, through which
// hosts outside are reached that policy allows; services of this machine's
// loopback that are reachable inside; ports inside that this machine's loopback
// shows.
//
// It promises:
//   - Nothing leaves, not even the question for a host's address, before the
//     judge's permit for that host and port, whose record is durable.
//   - A connection goes to the very address that was checked. Addresses that are
//     no public host's, or this machine's own, are not reached, whatever a name
//     resolves to.
//   - Every refusal is reported once, floods folded with exact totals; every
//     permitted connection is reported again at its end, with what went through.
//   - A request that two readers could take for two different ones is refused.
//   - Behind a service or a published port never stands Countersign itself.
//
// It may dial and serve the listeners it is handed. It must never decide, start a
// process, touch a file, nor look into what a tunnel carries.
package egress
