// Package conn is a connection between a door and the ledger process: a unix socket,
// in Go's poller only where many questions are under way on it.
//
// It promises: who hangs up wakes whoever reads, and takes no descriptor's number away
// from under them; what was written before arrives. It knows nothing of what is said.
package conn
