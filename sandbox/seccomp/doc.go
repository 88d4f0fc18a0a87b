// Package seccomp builds the session's BPF filter, installs it, and speaks the
// user notification protocol (seccomp(2), seccomp_unotify(2)).
//
// It promises that the architecture is checked before anything else (a call of
// a foreign architecture or of the x32 ABI is always notified, never let
// through), that a row of Table is the only place that says what happens to a
// call, and that a call without a row costs nothing: the filter is written in
// the instructions that the kernel's cache of constant results understands.
//
// It touches the calling thread's seccomp state and the listener's descriptor,
// nothing else. It must never decide about a notification.
package seccomp
