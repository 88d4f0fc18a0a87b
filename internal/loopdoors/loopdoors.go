// Package loopdoors opens what a session serves on the loopback of a new network
// namespace: this thread's.
package loopdoors
