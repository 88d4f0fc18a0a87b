// Package held is what the supervisor does with a thread that it holds by
// ptrace(2): from before its exec to the stop behind it, and on from there.
//
// It promises: a thread is held only until its exec stop is decided, or, for a
// StandIn, until what goes on elsewhere has ended; what is held dies with who holds
// it. It touches no memory of a process but to read, and of its registers those of
// a StandIn. It must never decide whether an exec may run.
package held
