// Package held is what the supervisor does with a thread that it holds by
// ptrace(2): from before its exec to the stop behind it, and on from there.
//
// It promises: a thread is held only until its exec stop is decided, or, for a
// StandIn, until what goes on elsewhere has ended; what is held dies with who holds
// it. It touches no memory of a process but to read, of its registers those of a
// StandIn, and of this program the signal of stops, which it mutes. It must never
// decide whether an exec may run.
package held
