// Package sockowner finds who holds a socket, by what /proc says of a network
// namespace (proc_pid_net(5)): while the other side waits for an answer, its
// socket lives, and so does whoever holds it.
//
// It reads /proc, asks the socket it is given, and nothing else. What it says is for the record: a process that
// is gone, or that uses a descriptor another holds too, may be named wrongly or
// not at all.
package sockowner
