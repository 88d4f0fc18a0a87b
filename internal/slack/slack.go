// Package slack makes a process's timers late by up to some time: Go's monitor thread
// (sysmon) wakes every 20 microseconds while anything has run of late, which costs a
// process that works in short bursts a sixth of its processor time. With some
// milliseconds of slack it wakes that much more seldom; what it does then (taking a
// processor from a thread that the kernel holds, above all) is late by as much.
//
// It promises: where the system has no such thing, or forbids it, all goes on as
// before. The program, its descriptors and its signals stay as they are: to start it
// again in its place, with the slack to inherit, would lose a signal that it has caught
// and the limits that Go has raised.
package slack

import "time"

// Usual is the slack of processes that serve, whose threads wait in the poller, and for
// a disk at most: there is no processor to be taken from one that waits elsewhere for
// long.
const Usual = 5 * time.Millisecond
